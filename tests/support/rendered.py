"""The rendered resources at work: translated as Istio would, run by the real Envoy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import yaml

from maas_api import providers
from maas_api.demo.simulators.server import Received, Simulator, Whole
from maas_api.gateway import manifests
from maas_api.gateway.envoy.listener import IDENTITY_HEADERS
from maas_api.gateway.envoy.routes import ROUTE_HEADER
from maas_api.gateway.envoy.secrets import file_name, provider_secret, render_secret
from maas_api.gateway.quota import SAID
from maas_api.gateway.running import Envoy
from tests.support import mesh
from tests.support.authorino import Authorino, Question
from tests.support.kubernetes import ROOT
from tests.support.mesh_routes import of_kind

CALLS = {
    "openai": (
        "/external/openai/v1/chat/completions",
        {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5},
    ),
    "anthropic": (
        "/external/anthropic/v1/messages",
        {"model": "claude-sonnet-4-20250514", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5},
    ),
}
REGISTRY = yaml.safe_dump(
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "external-model-registry", "namespace": "maas-api"},
        "data": {"models": json.dumps([{"id": call["model"], "provider": name} for name, (_, call) in CALLS.items()])},
    }
)
MODES = ["kuadrant", "kuadrant-literal", "istio"]


class Site(NamedTuple):
    """What every mode shares: providers, the real service with one key in it, and the local gateway to compare with."""

    simulators: Mapping[str, Simulator]
    provider_keys: Mapping[str, str]
    service: str
    key: str
    limited: Mapping[str, str]
    """Provider -> a key for its one model."""
    token: str
    ca_file: Path
    local: httpx.Client
    model: Simulator
    """The server of the one model in the cluster."""


MODEL = "facebook-opt-125m-simulated"
"""A model in the cluster: examples/manifests has it."""


def in_the_cluster() -> list[dict[str, Any]]:
    """What its controller and the Istio overlay leave for it: a route of its own, to its server, under the policy."""
    host = f"{MODEL}.llm.internal"
    ports = [{"name": "http", "port": 8000, "number": 8000, "protocol": "HTTP"}]
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": f"/llm/{MODEL}"}}],
        "filters": [
            {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}
        ],
        "backendRefs": [{"name": MODEL, "port": 8000}],
    }
    paths = [f"/llm/{MODEL}", f"/llm/{MODEL}/*"]
    policy = {"action": "CUSTOM", "rules": [{"to": [{"operation": {"paths": paths}}]}]}
    place = {"metadata": {"name": MODEL, "namespace": "llm"}}
    return [
        {"kind": "Service", **place, "spec": {"externalName": host, "ports": ports}},
        {"kind": "ServiceEntry", **place, "spec": {"hosts": [host], "ports": ports}},
        {"kind": "AuthorizationPolicy", **place, "spec": policy},
        {"kind": "HTTPRoute", **place, "spec": {"rules": [rule]}},
    ]


def client(process: Envoy) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{process.address.port}", trust_env=False, timeout=20)


class Cluster(NamedTuple):
    """A gateway that a mode's resources were applied to."""

    mode: str
    client: httpx.Client


class Counted(NamedTuple):
    """How a gateway's calls are counted: which way the log takes, and where the collector listens."""

    metering: str
    collector: tuple[str, int]
    rate_limits: tuple[str, int] | None = None
    """Where the rate limit service listens."""
    include_usage: bool = False


def applied(
    mode: str, site: Site, folder: Path, stack: ExitStack, *, authorizer_up: bool = True, counted: Counted | None = None
) -> Envoy:
    """The resources of both providers, rendered for the mode and running."""
    metering: Any = counted.metering if counted else "off"
    literal = mode == "kuadrant-literal"
    options = manifests.Options(
        auth="istio" if mode == "istio" else "kuadrant",
        provider_keys="literal" if literal else "secret",
        cache=None if mode == "istio" else "off",
        one_url=not literal,
        metering=metering,
        include_usage=counted.include_usage if counted else False,
        rate_limit_service=("ratelimit.limits.svc", 8081) if counted and counted.rate_limits else None,
    )
    targets = [manifests.Target(provider=providers.provider(name)) for name in CALLS]
    text = manifests.to_yaml(manifests.render(options, targets, site.provider_keys if literal else {}))
    resources = [*yaml.safe_load_all(text), *in_the_cluster()]

    service = urlsplit(site.service)
    if mode == "istio":
        values = yaml.safe_load((ROOT / "patches/overlays/istio/mesh-values.yaml").read_text())
        if counted:
            values = manifests.mesh_values("maas-api.opendatahub.svc.cluster.local", 8443, "authz", metering=metering)
        provider, *logs = values["meshConfig"]["extensionProviders"]
        authorizer = mesh.from_extension_provider(
            provider["envoyExtAuthzHttp"], (str(service.hostname), int(service.port or 0))
        )
    else:
        logs = []
        authorino = stack.enter_context(Simulator("authorino", kuadrant(resources, site)))
        authorizer = mesh.Authorizer(KUADRANT, ("127.0.0.1", authorino.port))
    if not authorizer_up:
        authorizer = authorizer._replace(address=("127.0.0.1", 1))

    def file(path: str) -> str:
        if path == "system":
            return str(site.ca_file)
        return str(folder / Path(path).relative_to(manifests.KEYS_FOLDER))

    (folder / "secrets").mkdir()
    for name, key in site.provider_keys.items():
        (folder / file_name(provider_secret(name))).write_text(render_secret(provider_secret(name), key))
    connect = {f"api.{name}.com": ("127.0.0.1", simulator.port) for name, simulator in site.simulators.items()}
    connect[f"{MODEL}.llm.internal"] = ("127.0.0.1", site.model.port)
    if counted:
        connect["maas-usage-collector.opendatahub.svc.cluster.local"] = counted.collector
        if counted.rate_limits:
            connect["ratelimit.limits.svc"] = counted.rate_limits
    outside = mesh.Mesh(connect, authorizer, file, (str(service.hostname), int(service.port or 0)), logs)

    def write(admin_socket: Path) -> Path:
        path = folder / "bootstrap.json"
        path.write_text(json.dumps(mesh.envoy_configuration(resources, outside, admin_socket)))
        return path

    running = Envoy(folder / "envoy")
    running.launch(write)
    return running


SET_BY_KUADRANT = (*providers.CREDENTIAL_HEADERS, *IDENTITY_HEADERS, ROUTE_HEADER, *SAID.values())
KUADRANT = {
    "failure_mode_allow": False,
    "allowed_headers": {"patterns": [{"safe_regex": {"regex": ".*"}}]},
    "http_service": {
        "server_uri": {"uri": "http://authorino", "cluster": "authorizer", "timeout": "20s"},
        "authorization_response": {
            "allowed_upstream_headers": {"patterns": [{"exact": name} for name in SET_BY_KUADRANT]},
            "allowed_client_headers": {"patterns": [{"exact": "content-type"}]},
        },
    },
}


def kuadrant(resources: list[dict[str, Any]], site: Site) -> Any:
    """Authorino with the rendered policies in force, calling the real service back."""

    def callback(question: Question) -> tuple[str, bytes]:
        place = urlsplit(question.url)
        url = f"{site.service}{place.path}?{place.query}"
        answer = httpx.post(url, content=question.body, headers=question.headers, trust_env=False)
        return answer.headers["content-type"], answer.content

    policies = {
        item["spec"]["targetRef"]["name"]: Authorino(item, callback, lean=True)
        for item in of_kind(resources, "AuthPolicy")
    }

    def answer(request: Received) -> Whole:
        if request.path.startswith("/llm/"):
            return _by_its_own_policy(request)
        provider = request.path.split("/")[2]
        route = "models" if request.path.startswith(f"/external/{provider}/v1/models") else "bridge"
        policy = "maas-one-url" if request.path.startswith("/v1/") else f"{provider}-{route}"
        headers = {name.lower(): value for name, value in request.headers}
        decision = policies[policy].decide(headers, request.path, request.method)
        body = json.loads(decision.body) if decision.body else {}
        return Whole(decision.status, body, tuple(decision.headers.items()))

    return answer


def _by_its_own_policy(request: Received) -> Whole:
    """That of a model in the cluster is its controller's: here it lets pass whoever shows a key, and takes nothing away
    of what the client sent."""
    shown = any(
        (request.header(name) or "").startswith(("sk-oai-", "Bearer sk-oai-")) for name in providers.CREDENTIAL_HEADERS
    )
    return Whole(200 if shown else 401, {})


def headers(site: Site, *, name: str = "authorization", **more: str) -> dict[str, str]:
    return {name: f"Bearer {site.key}" if name == "authorization" else site.key, **more}


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}
