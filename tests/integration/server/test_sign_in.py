"""``--sign-in``: the service alone on a laptop. A caller is who the credential says, and nothing is taken on trust."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from maas_api.app import build
from maas_api.config import Settings
from maas_api.gateway.signin import SignIn
from maas_api.wire import Reply, Request
from tests.support.issuer import issuers
from tests.support.process import ROOT, USER, Running, running
from tests.support.serving import serving

TOKENS = ROOT / "examples" / "tokens.yaml"
ALICE = {"Authorization": "Bearer alice-laptop-token-not-a-secret"}
ROOT_USER = {"Authorization": "Bearer root-laptop-token-not-a-secret"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("signin")
    flags = ("--workers", "1", "--sign-in", "--tokens-file", str(TOKENS), "--admin-groups", "maas-admins")
    with running(folder, *flags) as started:
        yield started


@pytest.fixture
def client(service: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=service.url) as made:
        yield made


def test_a_platform_token_mints_and_the_key_lists_and_reads_itself(client: httpx.Client) -> None:
    minted = client.post("/v1/api-keys", headers=ALICE, json={"name": "laptop"})
    assert minted.status_code == 201, minted.text
    key = {"Authorization": f"Bearer {minted.json()['key']}"}
    listed = client.get("/v1/models", headers=key).json()["data"]
    assert {item["id"] for item in listed} >= {"gpt-4o-mini", "facebook/opt-125m"}
    assert client.get("/v1/models", headers={"x-api-key": minted.json()["key"]}).status_code == 200
    record = client.get(f"/v1/api-keys/{minted.json()['id']}", headers=ALICE).json()
    assert (record["username"], record["name"]) == ("alice", "laptop")


def test_a_key_limited_to_a_model_is_shown_that_one(client: httpx.Client) -> None:
    minted = client.post("/v1/api-keys", headers=ALICE, json={"name": "one", "models": ["gpt-4o-mini"]}).json()
    listed = client.get("/v1/models", headers={"Authorization": f"Bearer {minted['key']}"}).json()["data"]
    assert [item["id"] for item in listed] == ["gpt-4o-mini"]


def test_groups_are_those_of_the_tokens_file(client: httpx.Client) -> None:
    everyone = {"filters": {"username": "alice"}}
    assert client.post("/v1/api-keys/search", headers=ROOT_USER, json=everyone).status_code == 200
    others = {"filters": {"username": "root"}}
    assert client.post("/v1/api-keys/search", headers=ALICE, json=others).status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/api-keys"),
        ("POST", "/v1/api-keys/search"),
        ("GET", "/v1/models"),
        ("GET", "/v1/subscriptions"),
    ],
)
def test_without_a_good_credential_every_route_says_401_and_what_to_send(
    client: httpx.Client, method: str, path: str
) -> None:
    nobody = client.request(method, path, json={})
    assert nobody.status_code == 401
    assert "Authorization: Bearer" in nobody.json()["error"]["message"]
    assert client.request(method, path, json={}, headers={"Authorization": "Bearer junk"}).status_code == 401


@pytest.mark.parametrize(
    "lines",
    [
        USER,
        {"X-MaaS-Username": "root"},
        {"X-MaaS-Models": "[]"},
        {"X-Forwarded-For": "10.0.0.1"},
        {"Forwarded": "for=10.0.0.1"},
        {"X-Envoy-Original-Path": "/v1/models"},
        {"Via": "1.1 proxy"},
    ],
)
def test_what_a_gateway_sets_is_refused_with_a_credential_and_without(
    client: httpx.Client, lines: dict[str, str]
) -> None:
    for credential in ({}, ALICE):
        answer = client.get("/v1/models", headers={**lines, **credential})
        assert answer.status_code == 403
        assert answer.json()["error"]["code"] == "not_directly_called"


def test_a_revoked_key_is_refused_at_its_next_request(client: httpx.Client) -> None:
    minted = client.post("/v1/api-keys", headers=ALICE, json={"name": "short"}).json()
    key = {"Authorization": f"Bearer {minted['key']}"}
    assert client.get("/v1/models", headers=key).status_code == 200
    assert client.delete(f"/v1/api-keys/{minted['id']}", headers=ALICE).status_code == 200
    assert client.get("/v1/models", headers=key).status_code == 401


def test_another_machines_address_is_refused_whatever_it_sends() -> None:
    """A server that brings its own listener (``maas_api.asgi:app`` under another one) is not held by --host."""

    def never(_request: Request) -> Reply:
        raise AssertionError("asked")

    lines = [(b"authorization", ALICE["Authorization"].encode())]
    for client in ("10.1.2.3", "::ffff:10.1.2.3", ""):
        answer = SignIn(never).ask("GET", "/v1/models", lines, client)
        assert isinstance(answer, Reply)
        assert answer.status == 403


def test_off_a_credential_alone_is_nobody(tmp_path: Path) -> None:
    """As in production: identity is the gateway's to state."""
    settings = Settings(
        sqlite_path=tmp_path / "keys.db", tokens_file=TOKENS, kubernetes="off", default_subscription="default"
    )
    with serving(build(settings)) as url:
        assert httpx.post(f"{url}/v1/api-keys", headers=ALICE, json={"name": "x"}).status_code == 401


def test_a_user_of_an_issuer_mints_and_lists_and_a_token_for_others_is_told_why_not(tmp_path: Path) -> None:
    with issuers(tmp_path) as (ca, [issuer]):
        flags = ("--oidc-issuer", issuer.url, "--oidc-audiences", "maas", "--oidc-ca-file", str(ca))
        with running(tmp_path, "--workers", "2", "--sign-in", *flags) as service, httpx.Client() as client:
            bearer = {"Authorization": f"Bearer {issuer.token()}"}
            minted = client.post(f"{service.url}/v1/api-keys", headers=bearer, json={"name": "k"})
            assert minted.status_code == 201, minted.text
            record = client.get(f"{service.url}/v1/api-keys/{minted.json()['id']}", headers=bearer).json()
            assert record["username"] == "alice"
            key = {"Authorization": f"Bearer {minted.json()['key']}"}
            assert client.get(f"{service.url}/v1/models", headers=key).status_code == 200
            other = {"Authorization": f"Bearer {issuer.token(aud='shop')}"}
            refused = client.get(f"{service.url}/v1/models", headers=other)
            assert refused.status_code == 401
            assert "aud: must have one of maas" in refused.json()["error"]["message"]
            told = client.get(f"{service.url}/readyz").json()["checks"]["issuers"]
            assert (told["ready"], told[issuer.url]["keys"]) == (True, 1)
            assert "eyJ" not in service.log()


def test_it_prints_where_it_is_and_never_a_token(service: Running) -> None:
    said = service.log()
    assert f"MaaS API answers on {service.url}" in said
    assert "docs/use.md" in said
    assert said.count("MaaS API answers") == 1
    assert "not-a-secret" not in said


@pytest.mark.skipif(not shutil.which("curl"), reason="what is printed is for curl, and there is none")
def test_what_it_prints_works_as_pasted(service: Running) -> None:
    printed = "\n".join(re.findall(r"^  (\S.*|  \|.*)$", service.log(), re.MULTILINE))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", printed], cwd=ROOT, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 0, done.stderr
    key, listing = done.stdout.split("\n", 1)
    assert re.fullmatch(r"sk-oai-[0-9A-Za-z]+_[0-9A-Za-z]{49}", key)
    assert '"gpt-4o-mini"' in listing
