"""The rendered resources at work: translated as Istio would, run by the real Envoy, asked for by real requests."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from maas_api import providers
from maas_api.app import build
from maas_api.config import load
from maas_api.demo.certificates import Authority
from maas_api.demo.simulators.anthropic_api import anthropic_api
from maas_api.demo.simulators.openai_api import openai_api
from maas_api.demo.simulators.server import Received, Simulator, Whole
from maas_api.gateway import envoy, manifests
from maas_api.gateway.envoy.listener import IDENTITY_HEADERS
from maas_api.gateway.envoy.secrets import file_name, provider_secret, render_secret
from maas_api.gateway.process import EnvoyProcess
from maas_api.gateway.running import Envoy
from tests.support import mesh
from tests.support.authorino import Authorino, Question
from tests.support.kubernetes import ROOT
from tests.support.serving import serving

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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with ExitStack() as stack:
        authority = Authority()
        ca_file = authority.write(folder / "ca.pem")
        keys = {name: f"{name}-{secrets.token_hex(16)}" for name in CALLS}
        simulators = {
            name: stack.enter_context(
                Simulator(name, answer(keys[name]), certificate=authority.server(f"api.{name}.com"))
            )
            for name, answer in (("openai", openai_api), ("anthropic", anthropic_api))
        }
        token = secrets.token_hex(16)
        (folder / "tokens.yaml").write_text(
            yaml.safe_dump([{"token": token, "username": "alice", "groups": ["staff"]}])
        )
        (folder / "manifests").mkdir()
        (folder / "manifests" / "registry.yaml").write_text(REGISTRY)
        settings = load(
            {
                "manifests": str(folder / "manifests"),
                "sqlite_path": str(folder / "maas.db"),
                "kubernetes": "off",
                "default_subscription": "default",
                "validation_deadline_ms": "900",
                "tokens_file": str(folder / "tokens.yaml"),
            },
            {},
        )
        service = stack.enter_context(serving(build(settings)))
        identity = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["staff"]'}
        minted = httpx.post(f"{service}/v1/api-keys", json={"name": "test"}, headers=identity, trust_env=False)
        assert minted.status_code == 201, minted.text
        limited = {
            name: httpx.post(
                f"{service}/v1/api-keys",
                json={"name": name, "models": [call["model"]]},
                headers=identity,
                trust_env=False,
            ).json()["key"]
            for name, (_, call) in CALLS.items()
        }

        process = stack.enter_context(EnvoyProcess(folder / "local"))
        for name, key in keys.items():
            process.put_secret(provider_secret(name), key)
        process.start(
            envoy.Plan(
                listen=envoy.Address("127.0.0.1", 0),
                maas_api=envoy.Upstream.from_url(service),
                providers=tuple(
                    envoy.provider_route(
                        providers.provider(name),
                        ca_file=ca_file,
                        connect_to=envoy.Address("127.0.0.1", simulators[name].port),
                    )
                    for name in CALLS
                ),
            )
        )
        local = stack.enter_context(client(process))
        yield Site(simulators, keys, service, minted.json()["key"], limited, token, ca_file, local)


def client(process: Envoy) -> httpx.Client:
    return httpx.Client(base_url=f"http://127.0.0.1:{process.address.port}", trust_env=False, timeout=20)


class Cluster(NamedTuple):
    """A gateway that a mode's resources were applied to."""

    mode: str
    client: httpx.Client


@pytest.fixture(scope="module", params=MODES)
def cluster(request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        running = stack.enter_context(applied(request.param, site, folder, stack, authorizer_up=True))
        yield Cluster(request.param, stack.enter_context(client(running)))


def applied(mode: str, site: Site, folder: Path, stack: ExitStack, *, authorizer_up: bool) -> Envoy:
    """The resources of both providers, rendered for the mode and running."""
    literal = mode == "kuadrant-literal"
    options = manifests.Options(
        auth="istio" if mode == "istio" else "kuadrant",
        provider_keys="literal" if literal else "secret",
        cache=None if mode == "istio" else "off",
    )
    targets = [manifests.Target(provider=providers.provider(name)) for name in CALLS]
    text = manifests.to_yaml(manifests.render(options, targets, site.provider_keys if literal else {}))
    resources = list(yaml.safe_load_all(text))

    service = urlsplit(site.service)
    if mode == "istio":
        values = yaml.safe_load((ROOT / "patches/overlays/istio/mesh-values.yaml").read_text())
        (provider,) = values["meshConfig"]["extensionProviders"]
        authorizer = mesh.from_extension_provider(
            provider["envoyExtAuthzHttp"], (str(service.hostname), int(service.port or 0))
        )
    else:
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
    outside = mesh.Mesh(connect, authorizer, file, (str(service.hostname), int(service.port or 0)))

    def write(admin_socket: Path) -> Path:
        path = folder / "bootstrap.json"
        path.write_text(json.dumps(mesh.envoy_configuration(resources, outside, admin_socket)))
        return path

    running = Envoy(folder / "envoy")
    running.launch(write)
    return running


KUADRANT = {
    "failure_mode_allow": False,
    "allowed_headers": {"patterns": [{"safe_regex": {"regex": ".*"}}]},
    "http_service": {
        "server_uri": {"uri": "http://authorino", "cluster": "authorizer", "timeout": "2s"},
        "authorization_response": {
            "allowed_upstream_headers": {
                "patterns": [{"exact": name} for name in (*providers.CREDENTIAL_HEADERS, *IDENTITY_HEADERS)]
            },
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
        for item in mesh.of_kind(resources, "AuthPolicy")
    }

    def answer(request: Received) -> Whole:
        provider = request.path.split("/")[2]
        route = "models" if request.path.startswith(f"/external/{provider}/v1/models") else "bridge"
        headers = {name.lower(): value for name, value in request.headers}
        decision = policies[f"{provider}-{route}"].decide(headers, request.path, request.method)
        body = json.loads(decision.body) if decision.body else {}
        return Whole(decision.status, body, tuple(decision.headers.items()))

    return answer


def headers(site: Site, *, name: str = "authorization", **more: str) -> dict[str, str]:
    return {name: f"Bearer {site.key}" if name == "authorization" else site.key, **more}


@pytest.mark.parametrize("provider", CALLS)
class TestOneProvider:
    def test_a_request_arrives_as_by_the_local_gateway(self, cluster: Cluster, site: Site, provider: str) -> None:
        path, body = CALLS[provider]
        sent = headers(site, **{"X-Forwarded-For": "203.0.113.9", "Cookie": "session=1"})
        seen: list[Received] = []
        answers = []
        for gateway in (cluster.client, site.local):
            answers.append(gateway.post(path, json=body, headers=sent))
            assert answers[-1].status_code == 200, answers[-1].text
            seen.append(site.simulators[provider].received[-1])
        here, local = seen
        assert (here.method, here.path, here.body, here.sni) == (local.method, local.path, local.body, local.sni)
        assert here.header("host") == f"api.{provider}.com" == here.sni
        assert site.key not in here.text()
        assert site.provider_keys[provider] in here.text()
        expected = {(name.lower(), value) for name, value in local.headers}
        found = {(name.lower(), value) for name, value in here.headers}
        if cluster.mode == "kuadrant-literal":
            # Where no upstream filter follows, Envoy's router adds its own, and answers may come packed: there nobody
            # of ours reads what they took.
            found = {(name, value) for name, value in found if not name.startswith(("x-envoy-", "accept-encoding"))}
        assert found == expected
        usage = [answer.json()["usage"] for answer in answers]
        assert usage[0] == usage[1]

    def test_a_key_is_taken_where_anthropics_sdk_puts_it(self, cluster: Cluster, site: Site, provider: str) -> None:
        path, body = CALLS[provider]
        answer = cluster.client.post(path, json=body, headers=headers(site, name="x-api-key"))
        assert answer.status_code == 200, answer.text
        assert site.key not in site.simulators[provider].received[-1].text()

    def test_a_platform_users_token_passes_and_stays_here(self, cluster: Cluster, site: Site, provider: str) -> None:
        path, body = CALLS[provider]
        answer = cluster.client.post(path, json=body, headers={"Authorization": f"Bearer {site.token}"})
        assert answer.status_code == 200, answer.text
        assert site.token not in site.simulators[provider].received[-1].text()

    def test_a_stream_arrives_in_separate_pieces(self, cluster: Cluster, site: Site, provider: str) -> None:
        path, body = CALLS[provider]
        with cluster.client.stream("POST", path, json={**body, "stream": True}, headers=headers(site)) as answer:
            assert len(list(answer.iter_raw())) >= 4

    @pytest.mark.parametrize("credential", [None, "Bearer sk-oai-a_b", "Bearer nobody", "Basic x"])
    def test_without_a_good_credential_nothing_arrives(
        self, cluster: Cluster, site: Site, provider: str, credential: str | None
    ) -> None:
        path, body = CALLS[provider]
        before = len(site.simulators[provider].received)
        answer = cluster.client.post(path, json=body, headers={"Authorization": credential} if credential else {})
        assert answer.status_code == 401
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.json()["error"]["type"] == "authentication_error"
        assert len(site.simulators[provider].received) == before

    def test_a_forged_identity_reaches_nobody(self, cluster: Cluster, site: Site, provider: str) -> None:
        path, body = CALLS[provider]
        before = len(site.simulators[provider].received)
        answer = cluster.client.post(path, json=body, headers=headers(site, **{"X-MaaS-Username": "root"}))
        if cluster.mode == "istio":  # set again by the authorizer, and removed on the route
            assert answer.status_code == 200
            assert site.simulators[provider].received[-1].header("x-maas-username") is None
        else:
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "not_permitted"
            assert len(site.simulators[provider].received) == before

    @pytest.mark.parametrize("credential", ["unlimited", "limited", "none"])
    def test_nothing_else_of_the_operators_account_is_reached(
        self, cluster: Cluster, site: Site, provider: str, credential: str
    ) -> None:
        before = len(site.simulators[provider].received)
        good = {
            "unlimited": headers(site),
            "limited": {"Authorization": f"Bearer {site.limited[provider]}"},
            "none": {},
        }
        body = CALLS[provider][1]
        answers = {
            (method, path): cluster.client.request(
                method, f"/external/{provider}{path}", json=body, headers=good[credential]
            ).status_code
            for method, path in ELSEWHERE
        }
        assert set(answers.values()) <= {401, 403, 404}, answers
        assert len(site.simulators[provider].received) == before

    def test_a_model_that_nobody_registered_is_not_run(self, cluster: Cluster, site: Site, provider: str) -> None:
        path, body = CALLS[provider]
        other = next(call["model"] for name, (_, call) in CALLS.items() if name != provider)
        before = len(site.simulators[provider].received)
        for model in ("gpt-5-pro", other, ""):
            answer = cluster.client.post(path, json={**body, "model": model}, headers=headers(site))
            assert answer.status_code in ((401,) if cluster.mode != "istio" else (400, 404))
            assert answer.json()["error"]["code"] == ("model_not_found" if model else "invalid_body")
        assert len(site.simulators[provider].received) == before

    def test_a_limited_key_runs_its_model_and_no_other(self, cluster: Cluster, site: Site, provider: str) -> None:
        path, body = CALLS[provider]
        assert cluster.client.post(path, json=body, headers=bearer(site.limited[provider])).status_code == 200
        before = len(site.simulators[provider].received)
        other = next(key for name, key in site.limited.items() if name != provider)
        answer = cluster.client.post(path, json=body, headers=bearer(other))
        assert answer.status_code == (403 if cluster.mode == "istio" else 401)
        assert answer.json()["error"]["code"] == "model_not_allowed"
        nested = {**body, "tools": [{"type": "advisor_20260301", "model": "gpt-5-pro"}]}
        for key in (site.key, site.limited[provider]):
            assert cluster.client.post(path, json=nested, headers=bearer(key)).status_code in (401, 403, 404)
        assert len(site.simulators[provider].received) == before

    def test_its_list_of_models_is_the_callers_own(self, cluster: Cluster, site: Site, provider: str) -> None:
        before = len(site.simulators[provider].received)
        _, body = CALLS[provider]
        others = {key for name, key in site.limited.items() if name != provider}
        for key in (site.key, site.token, site.limited[provider], *others):
            answer = cluster.client.get(f"/external/{provider}/v1/models", headers=bearer(key))
            assert answer.status_code == 200, answer.text
            assert [item["id"] for item in answer.json()["data"]] == ([] if key in others else [body["model"]])
        one = cluster.client.get(f"/external/{provider}/v1/models/{body['model']}", headers=headers(site))
        assert one.json()["id"] == body["model"]
        assert cluster.client.get(f"/external/{provider}/v1/models").status_code == 401
        assert len(site.simulators[provider].received) == before


ELSEWHERE = [
    ("GET", ""),
    ("GET", "/"),
    ("GET", "/v1/files"),
    ("POST", "/v1/files"),
    ("GET", "/v1/files/file-1/content"),
    ("DELETE", "/v1/files/file-1"),
    ("POST", "/v1/batches"),
    ("POST", "/v1/messages/batches"),
    ("GET", "/v1/responses/resp_1"),
    ("DELETE", "/v1/responses/resp_1"),
    ("POST", "/v1/chat/completions/chat_1"),
    ("GET", "/v1/chat/completions"),
    ("PUT", "/v1/chat/completions"),
    ("POST", "/v1/fine_tuning/jobs"),
    ("POST", "/v1/models"),
    ("DELETE", "/v1/models/gpt-4o-mini"),
    ("GET", "/v1/models-of-others"),
    ("GET", "/v1/models/../files"),
    ("GET", "/v1/models/..%2ffiles"),
    ("GET", "/v1/organization/users"),
    ("POST", "/v2/chat/completions"),
]


def bearer(credential: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {credential}"}


def test_a_version_that_the_client_chose_wins(cluster: Cluster, site: Site) -> None:
    path, body = CALLS["anthropic"]
    for version, expected in ((None, "2023-06-01"), ("2024-01-01", "2024-01-01")):
        more = {} if version is None else {"anthropic-version": version}
        assert cluster.client.post(path, json=body, headers=headers(site, **more)).status_code == 200
        received = site.simulators["anthropic"].received[-1]
        assert [value for name, value in received.headers if name.lower() == "anthropic-version"] == [expected]


@pytest.mark.parametrize("mode", ["kuadrant", "istio"])
def test_without_the_authorizer_nothing_passes(mode: str, site: Site, tmp_path: Path) -> None:
    with ExitStack() as stack:
        running = stack.enter_context(applied(mode, site, tmp_path, stack, authorizer_up=False))
        gateway = stack.enter_context(client(running))
        before = {name: len(simulator.received) for name, simulator in site.simulators.items()}
        for path, body in CALLS.values():
            assert gateway.post(path, json=body, headers=headers(site)).status_code in (403, 503)
        assert {name: len(simulator.received) for name, simulator in site.simulators.items()} == before
