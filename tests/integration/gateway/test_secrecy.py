"""Wherever a key can stand: no provider receives ours, no client is shown the provider's, no log shows either."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from maas_api.demo.certificates import Authority
from maas_api.demo.simulators.server import Answer, Reaction, Received, Simulator, Whole
from maas_api.gateway import envoy
from maas_api.gateway.envoy.secrets import INTERNAL_SECRET, provider_secret
from maas_api.gateway.process import EnvoyProcess, write_atomically
from maas_api.providers import provider
from tests.support.wait import until

if TYPE_CHECKING:
    from tests.integration.gateway.conftest import World

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}
PATH = "/external/openai/v1/chat/completions"
LOCAL = "/llm/opt-125m/v1/chat/completions"
LOCAL_ID = "facebook/opt-125m"
HEADERS = (
    "proxy-authorization", "x-goog-api-key", "sec-websocket-protocol", "referer", "cookie", "user-agent", "accept",
    "openai-organization", "openai-project", "anthropic-beta", "x-request-id", "traceparent", "origin", "from",
    "x-stainless-lang", "x-anything", "x-maas-username", "x-forwarded-for", "forwarded", "x-api-key", "api-key",
)  # fmt: skip


@pytest.mark.parametrize("name", ["openai", "local"])
@pytest.mark.parametrize("header", HEADERS)
def test_a_key_in_a_header_reaches_no_model(world: World, header: str, name: str) -> None:
    key = world.keys.mint()
    path, body = (PATH, CHAT) if name == "openai" else (LOCAL, {**CHAT, "model": LOCAL_ID})
    simulator = world.simulators[name]
    for value in (key, f"Bearer {key}", f"a, {key.upper()}; b"):
        before = len(simulator.received)
        answer = world.client.post(path, json=body, headers={"Authorization": f"Bearer {key}", header: value})
        arrived = list(simulator.received)[before:]
        assert len(arrived) == (answer.status_code == 200), f"{answer.status_code} for {header}"
        for request in arrived:
            assert key.lower() not in request.text().lower()


@pytest.mark.parametrize("prefix", [PATH, LOCAL, "/external/anthropic/v1/messages", "/v1/models", "/nowhere"])
@pytest.mark.parametrize("where", ["{}?key={}", "{}?a=1&api_key=x{}", "{}/{}", "{}/a/{}/b", "{}?{}"])
@pytest.mark.parametrize("spelled", ["plain", "escaped", "escaped twice", "upper case"])
def test_a_key_in_a_path_or_query_reaches_no_model_and_no_log(
    world: World, prefix: str, where: str, spelled: str
) -> None:
    key = world.keys.mint()
    written = {
        "plain": key,
        "escaped": key.replace("-", "%2D").replace("s", "%73"),
        "escaped twice": key.replace("-", "%252D"),
        "upper case": key.upper(),
    }[spelled]
    before = {name: world.received(name) for name in world.simulators}
    answer = world.client.post(where.format(prefix, written), json=CHAT, headers={"Authorization": f"Bearer {key}"})
    assert 400 <= answer.status_code < 500
    assert {name: world.received(name) for name in world.simulators} == before
    marker = key.rpartition("_")[2].lower()
    until(lambda: world.process.access_log_file.stat().st_size > 0, what="the access log is written")
    for log in (world.process.access_log_file, world.process.log_file):
        assert marker not in log.read_text().lower()


BODIES: dict[str, tuple[str, str]] = {
    "a field": ("application/json", json.dumps({**CHAT, "user": "{key}"})),
    "a message": ("application/json", json.dumps({**CHAT, "messages": [{"role": "user", "content": "It is {key}."}]})),
    "escaped": ("application/json", json.dumps({**CHAT, "user": "{escaped}"}).replace("\\\\", "\\")),
    "its first letter escaped": ("application/json", json.dumps(CHAT)[:-1] + ', "user": "\\u0073{rest}"}'),
    "a form": ("application/x-www-form-urlencoded", "model=gpt-4o-mini&user={key}"),
    "a form with a file": ("multipart/form-data; boundary=b", "--b\r\n\r\n{key}\r\n--b--\r\n"),
    "text": ("text/plain", "{key}"),
}


@pytest.mark.parametrize("path", [PATH, "/v1/chat/completions", LOCAL, "/llm/opt-125m/v1/audio/transcriptions"])
@pytest.mark.parametrize(("kind", "body"), BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("whose", ["the caller's", "another"])
def test_a_key_in_a_body_is_refused(world: World, path: str, kind: str, body: str, whose: str) -> None:
    key = world.keys.mint()
    shown = key if whose == "the caller's" else world.keys.mint()
    text = body.replace("{key}", shown).replace("{rest}", shown[1:])
    text = text.replace("{escaped}", "".join(f"\\u{ord(char):04x}" for char in shown))
    before = {name: world.received(name) for name in world.simulators}
    for method in ("POST", "PUT"):
        answer = world.client.request(
            method, path, content=text, headers={"Authorization": f"Bearer {key}", "Content-Type": kind}
        )
        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["code"]) == (400, "invalid_request_error", "key_in_request")
        assert shown not in answer.text
    assert {name: world.received(name) for name in world.simulators} == before
    marker = shown.rpartition("_")[2]
    for log in (world.process.access_log_file, world.process.log_file):
        assert marker not in log.read_text()


@pytest.mark.parametrize("path", [PATH, LOCAL])
def test_a_body_that_cannot_be_looked_through_is_refused(world: World, path: str) -> None:
    sent = {"Authorization": f"Bearer {world.keys.mint()}", "Content-Type": "application/json"}
    before = {name: world.received(name) for name in world.simulators}
    packed = world.client.post(path, content=b"junk", headers={**sent, "Content-Encoding": "gzip"})
    assert (packed.status_code, packed.json()["error"]["code"]) == (415, "unsupported_media_type")
    wide = world.client.post(path, content=json.dumps(CHAT).encode("utf-16"), headers=sent)
    assert (wide.status_code, wide.json()["error"]["code"]) == (400, "invalid_body")
    assert {name: world.received(name) for name in world.simulators} == before


def test_bytes_that_hold_no_key_reach_a_local_model_unchanged(world: World) -> None:
    """A recording to transcribe, which no JSON reader takes."""
    body = b"--b\r\n\r\n" + bytes(range(256)) * 8192 + b"\r\n--b--\r\n"
    kind = "multipart/form-data; boundary=b"
    sent = {"Authorization": f"Bearer {world.keys.mint()}", "Content-Type": kind}
    world.client.post("/llm/opt-125m/v1/audio/transcriptions", content=body, headers=sent)
    arrived = world.simulators["local"].received[-1]
    assert (arrived.body, arrived.header("content-type")) == (body, kind)


# What a provider says ----------------------------------------------------------------------------------------------


@contextmanager
def provider_that(answers: Answer, world: World, folder: Path) -> Iterator[tuple[httpx.Client, str]]:
    """A gateway to a provider that answers so, as its client; and the key that the provider is given."""
    authority, key = Authority(), "provider-" + "0a1b2c3d" * 4
    ca_file = authority.write(folder / "ca.pem")
    with Simulator("odd", answers, certificate=authority.server("api.openai.com")) as odd:
        to = envoy.Address("127.0.0.1", odd.port)
        route = envoy.provider_route(provider("openai"), ca_file=ca_file, connect_to=to)
        with EnvoyProcess(folder / "envoy") as process:
            file = Path("secrets") / f"{INTERNAL_SECRET}.yaml"
            (process.folder / file.parent).mkdir(parents=True, exist_ok=True)
            write_atomically(process.folder / file, (world.process.folder / file).read_text(), mode=0o600)
            process.put_secret(provider_secret("openai"), key)
            process.start(dataclasses.replace(world.plan, models=(), providers=(route,)))
            base = f"http://127.0.0.1:{process.address.port}"
            with httpx.Client(base_url=base, trust_env=False, timeout=20) as client:
                client.headers["Authorization"] = f"Bearer {world.keys.mint()}"
                yield client, key


def echo(status: int, *more: tuple[str, str], length: int = 1) -> Answer:
    def answer(request: Received) -> Reaction:
        shown = request.header("authorization") or ""
        message = f"incorrect key {shown}, I say {shown.split()[-1]}" + "x" * length
        return Whole(status, {"error": {"message": message, "code": "bad"}}, (("X-Echo", shown), *more))

    return answer


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
def test_an_error_that_shows_the_provider_s_key_is_shown_without_it(world: World, tmp_path: Path, status: int) -> None:
    with provider_that(echo(status), world, tmp_path) as (client, key):
        answer = client.post(PATH, json=CHAT)
        assert answer.status_code == status
        assert key not in answer.text + str(answer.headers)
        assert answer.json()["error"]["code"] == "bad"
        assert answer.json()["error"]["message"].startswith("incorrect key Bearer [redacted], I say [redacted]")


@pytest.mark.parametrize("how", ["packed", "long"])
def test_an_error_that_cannot_be_checked_is_replaced(world: World, tmp_path: Path, how: str) -> None:
    odd = echo(400, ("Content-Encoding", "gzip")) if how == "packed" else echo(400, length=100_000)
    with provider_that(odd, world, tmp_path) as (client, key):
        answer = client.post(PATH, json=CHAT)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unreadable")
        assert key not in answer.text + str(answer.headers)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_a_provider_leads_nobody_elsewhere(world: World, tmp_path: Path, status: int) -> None:
    away = Whole(status, {"elsewhere": True}, (("Location", "https://elsewhere.example/v1/chat/completions"),))
    with provider_that(lambda _request: away, world, tmp_path) as (client, _key):
        answer = client.post(PATH, json=CHAT)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "redirected")
        assert "location" not in answer.headers
        assert "elsewhere.example" not in answer.text
