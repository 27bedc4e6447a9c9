"""maas-api's own route on OpenShift: the overlay's HTTPRoute and AuthPolicy in front of the real service."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from maas_api.app import build
from maas_api.config import Settings
from tests.support.authorino import Authorino, Question
from tests.support.httproute import upstream
from tests.support.kubernetes import find, objects
from tests.support.objects import registry
from tests.support.serving import serving
from tests.support.wait import until

ITEMS = objects("overlays/openshift")
ROUTES = [item for item in ITEMS if item["kind"] == "HTTPRoute"]
POLICY = find(ITEMS, "AuthPolicy", "maas-api-auth-policy")
ODD = ["staff", 'odd","quoted']
"""A cluster's group may have any name; the header must not be broken by it."""


class Gateway(NamedTuple):
    """A client's view: requests go through the route and the policy to the service. ``token`` is Alice's."""

    service: httpx.Client
    token: str
    authorino: Authorino

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: Any = None) -> httpx.Response:
        """What the client gets for a request."""
        sent = {name.lower(): value for name, value in headers.items()}
        reached = upstream(ROUTES, path)
        if reached is None:
            return httpx.Response(404)
        if reached != "/health":
            decision = self.authorino.decide(sent, path)
            if decision.status != 200:
                return httpx.Response(decision.status, headers=decision.headers, text=decision.body)
            sent |= decision.headers
        sent |= {"x-envoy-original-path": path, "x-forwarded-for": "203.0.113.9"}
        return self.service.request(method, reached, headers=sent, json=body)

    def mint(self, **fields: Any) -> dict[str, Any]:
        """A key of Alice's."""
        reply = self.ask("POST", "/maas-api/v1/api-keys", {"Authorization": f"Bearer {self.token}"}, fields)
        assert reply.status_code == 201, reply.text
        minted: dict[str, Any] = reply.json()
        return minted


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("own-route")
    models = "- {id: gpt-4o, provider: openai}\n- {id: claude, provider: anthropic}"
    (folder / "registry.yaml").write_text(yaml.safe_dump(registry(models)))
    token = secrets.token_hex(16)
    users = {token: ["staff"], f"{token}-odd": ODD}
    listed = [{"token": shown, "username": "alice", "groups": groups} for shown, groups in users.items()]
    (folder / "tokens.yml").write_text(yaml.safe_dump(listed))
    settings = Settings(
        tokens_file=folder / "tokens.yml",
        sqlite_path=folder / "keys.db",
        manifests=folder,
        kubernetes="off",
        namespace=registry("")["metadata"]["namespace"],
        default_subscription="default",
        validation_deadline_ms=2000,
    )
    with serving(build(settings)) as base, httpx.Client(base_url=base) as service:
        until(lambda: service.get("/readyz").status_code == 200, what="the service is ready")

        def callback(question: Question) -> tuple[str, bytes]:
            place = urlsplit(question.url)
            answer = service.post(f"{place.path}?{place.query}", content=question.body, headers=question.headers)
            return answer.headers["content-type"], answer.content

        yield Gateway(service, token, Authorino(POLICY, callback, lean=True))


def ids(reply: httpx.Response) -> list[str]:
    assert reply.status_code == 200, reply.text
    return [entry["id"] for entry in reply.json()["data"]]


def test_a_platform_user_mints_a_key_and_the_key_lists_models(gateway: Gateway) -> None:
    key = gateway.mint(name="k")["key"]
    assert ids(gateway.ask("GET", "/v1/models", {"Authorization": f"Bearer {key}"})) == ["claude", "gpt-4o"]


def test_anthropics_sdk_may_send_the_key_its_own_way(gateway: Gateway) -> None:
    key = gateway.mint(name="k")["key"]
    headers = {"X-Api-Key": key, "anthropic-version": "2023-06-01"}
    reply = gateway.ask("GET", "/v1/models", headers)
    assert [entry["id"] for entry in reply.json()["data"]] == ["claude", "gpt-4o"]


def test_a_group_with_a_quote_in_its_name_stays_one_group(gateway: Gateway) -> None:
    bearer = {"authorization": f"Bearer {gateway.token}-odd"}
    decision = gateway.authorino.decide(bearer, "/v1/models")
    assert json.loads(decision.headers["x-maas-group"]) == ODD
    assert gateway.ask("GET", "/v1/models", bearer).status_code == 200


def test_a_limited_key_sees_its_models_and_cannot_widen_itself(gateway: Gateway) -> None:
    minted = gateway.mint(name="k", models=["gpt-*"])
    key = minted["key"]
    bearer = {"Authorization": f"Bearer {key}"}
    assert ids(gateway.ask("GET", "/v1/models", bearer)) == ["gpt-4o"]
    wider = gateway.ask("POST", "/v1/api-keys", bearer, {"name": "wider", "models": ["claude"]})
    assert wider.status_code == 400
    child = gateway.ask("POST", "/v1/api-keys", {"x-api-key": key}, {"name": "the same"}).json()
    assert (child["models"], child["parent"]) == (["gpt-*"], minted["id"])
    for other in (minted, child):
        assert gateway.ask("POST", f"/maas-api/v1/api-keys/{other['id']}/rotate", bearer, {}).status_code == 403


def test_a_revoked_key_is_refused_at_the_next_request(gateway: Gateway) -> None:
    minted = gateway.mint(name="k")
    bearer = {"Authorization": f"Bearer {minted['key']}"}
    assert gateway.ask("GET", "/v1/models", bearer).status_code == 200
    revoked = gateway.ask(
        "DELETE", f"/maas-api/v1/api-keys/{minted['id']}", {"Authorization": f"Bearer {gateway.token}"}
    )
    assert revoked.status_code == 200
    refused = gateway.ask("GET", "/v1/models", bearer)
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer sk-oai-junk_junk"},
        {"Authorization": "Bearer nobodys-token"},
        {"Authorization": "Basic dXNlcjpwYXNz"},
        {"X-MaaS-Username": "root", "X-MaaS-Group": '["admins"]'},
    ],
    ids=["nothing", "junk key", "nobody's token", "another scheme", "an identity of one's own"],
)
@pytest.mark.parametrize("path", ["/v1/models", "/maas-api/v1/api-keys/search", "/v1/subscriptions"])
def test_nobody_else_gets_in(gateway: Gateway, path: str, headers: dict[str, str]) -> None:
    reply = gateway.ask("GET", path, headers)
    assert reply.status_code == 401
    assert reply.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("name", ["X-MaaS-Username", "X-MaaS-Group", "X-MaaS-Models"])
def test_a_good_credential_does_not_make_a_forged_identity_pass(gateway: Gateway, name: str) -> None:
    headers = {"Authorization": f"Bearer {gateway.token}", name: "root"}
    reply = gateway.ask("GET", "/v1/models", headers)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "not_permitted")


def test_the_probe_alone_is_open(gateway: Gateway) -> None:
    assert gateway.ask("GET", "/maas-api/health", {}).json() == {"status": "healthy"}
    assert gateway.ask("GET", "/maas-api/readyz", {}).status_code == 404


def test_internal_paths_do_not_exist_for_a_good_credential_either(gateway: Gateway) -> None:
    headers = {"Authorization": f"Bearer {gateway.token}"}
    for path in ("/internal/v1/api-keys/cleanup", "/maas-api/internal/v1/api-keys/cleanup"):
        assert gateway.ask("POST", path, headers).status_code == 404
    # And should a route ever lead there: what came through a gateway is refused by the service itself.
    direct = gateway.service.post("/internal/v1/api-keys/cleanup", headers={"x-forwarded-for": "203.0.113.9"})
    assert direct.status_code == 404
