"""Every check of the demo fails when what it promises is broken: here the gateway breaks it on purpose."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maas_api.demo import checks
from maas_api.demo.checks import CheckError, Session, access, answers, leaks
from maas_api.demo.client import Client
from maas_api.demo.seed import CALLS
from maas_api.demo.simulators.server import Events, Received, Simulator, Whole, event
from maas_api.demo.stack import PAUSE, User

HOSTS = {"openai": "api.openai.com", "anthropic": "api.anthropic.com"}


class Gateway:
    """Stands in for the gateway: right in everything, except for what a test sets."""

    def __init__(self) -> None:
        self.good: set[str] = set()
        self.revoked: set[str] = set()
        self.override: Callable[[Received], Whole | Events | None] = lambda _: None
        self.owner = "alice"

    def __call__(self, request: Received) -> Whole | Events:
        return self.override(request) or self._answer(request)

    def _answer(self, request: Received) -> Whole | Events:
        credential = (request.header("authorization") or "").removeprefix("Bearer ")
        if credential not in self.good or credential in self.revoked:
            return Whole(401, {"error": {"message": "no"}})
        if request.path == "/maas-api/v1/api-keys":
            key = f"sk-oai-{secrets.token_hex(8)}"
            self.good.add(key)
            return Whole(201, {"key": key, "id": key})
        if request.path.startswith("/maas-api/v1/api-keys/"):
            if request.method == "DELETE":
                self.revoked.add(request.path.rpartition("/")[2])
            return Whole(200, {"username": self.owner})
        if request.path.startswith("/v1/models"):
            models = [{"id": call.model} for call in CALLS]
            return Whole(200, {"data": models, "id": request.path.removeprefix("/v1/models/")})
        if b'"stream": true' in request.body:
            return Events(iter([event("word")] * 6))
        return Whole(200, {})


class FakeStack:
    """What the checks need of a stack, without processes."""

    def __init__(self, gateway: Gateway, folder: Path, pause: float) -> None:
        self.gateway = gateway
        self.folder = folder
        self.user = User("alice", secrets.token_urlsafe(12), ("g",))
        gateway.good.add(self.user.token)
        self.keys = {name: f"provider-{secrets.token_hex(8)}" for name in HOSTS}
        self.front = Simulator("gateway", gateway, pause=pause)
        self.simulators = {name: Simulator(name, lambda _: Whole(200, {})) for name in ("model server", *HOSTS)}
        for name, host in HOSTS.items():
            self.simulators[name].received.append(self.request_with_key(name, host))
        self.envoy = self
        self.service = self
        self.dump = "{}"
        secret_folder = folder / "secrets"
        secret_folder.mkdir(mode=0o700)
        for name, key in self.keys.items():
            (secret_folder / name).write_text(key)
            (secret_folder / name).chmod(0o600)
        self.secret_folders = (secret_folder,)
        self.client = Client(self.front.url)
        self.front.start()
        self.child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)

    def request_with_key(self, name: str, host: str) -> Received:
        key = self.keys[name]
        credential = ("x-api-key", key) if name == "anthropic" else ("Authorization", f"Bearer {key}")
        return Received("POST", "/v1/x", (("Host", host), credential), b"", host)

    def received(self) -> dict[str, int]:
        return {name: len(simulator.received) for name, simulator in self.simulators.items()}

    def simulated(self, provider: str) -> bool:
        return True

    def config_dump(self) -> str:
        return self.dump

    def stop(self) -> None:
        """The service stops: the gateway refuses."""
        self.before, self.gateway.override = self.gateway.override, lambda _: Whole(503, {})

    def start_service(self) -> None:
        self.gateway.override = self.before

    def close(self) -> None:
        self.client.close()
        self.child.communicate()
        for simulator in (self.front, *self.simulators.values()):
            simulator.stop()


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def stack(gateway: Gateway, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[FakeStack]:
    made = FakeStack(gateway, tmp_path, pause=getattr(request, "param", PAUSE))
    yield made
    made.close()


@pytest.fixture
def session(stack: FakeStack) -> Session:
    made = Session(stack, [])  # type: ignore[arg-type]  # has what the checks use
    made.mint("user")
    return made


def fails(check: checks.Check, session: Session, reason: str) -> None:
    with pytest.raises(CheckError, match=reason):
        check(session)


@pytest.mark.parametrize(("promise", "check"), checks.CHECKS)
def test_every_check_passes_where_nothing_is_broken(session: Session, promise: str, check: checks.Check) -> None:
    finding = checks.run(promise, check, session)
    assert finding.passed, finding.measured
    assert finding.measured


def test_a_check_that_cannot_be_carried_out_has_failed(session: Session) -> None:
    def broken(_: Session) -> str:
        raise OSError("disk gone")

    finding = checks.run("x", broken, session)
    assert (finding.passed, finding.measured) == (False, "could not be checked: OSError: disk gone")


def test_a_model_missing_from_the_list_fails(session: Session, gateway: Gateway) -> None:
    gateway.override = lambda _: Whole(200, {"data": [{"id": CALLS[0].model}]})
    fails(answers.one_listing, session, "not listed: gpt-4o-mini")


def test_an_open_route_fails(session: Session, gateway: Gateway) -> None:
    gateway.override = lambda request: Whole(200, {}) if request.path == CALLS[2].path else None
    fails(access.no_credential, session, "/external/anthropic/v1/messages: expected 401, got 200")
    fails(access.junk_key, session, "expected 401, got 200")


def test_a_refusal_without_a_reason_fails(session: Session, gateway: Gateway) -> None:
    gateway.override = lambda _: Whole(401, {})
    fails(access.no_credential, session, "401 without a JSON reason")


def test_a_refused_request_that_reached_a_model_fails(session: Session, stack: FakeStack, gateway: Gateway) -> None:
    def leak(request: Received) -> None:
        stack.simulators["openai"].received.append(request)

    gateway.override = leak  # type: ignore[assignment]  # answers as usual afterwards
    fails(access.no_credential, session, "reached a model server")


def test_a_revoked_key_that_still_works_fails(session: Session, gateway: Gateway) -> None:
    gateway.override = lambda request: Whole(200, {}) if request.method == "DELETE" else None
    fails(access.revoked_key, session, "ms after the revocation: expected 401, got 200")


def test_a_key_that_comes_back_after_its_revocation_fails(session: Session, gateway: Gateway) -> None:
    refused = []

    def once(request: Received) -> Whole | None:
        if not gateway.revoked or request.path != CALLS[0].path:
            return None
        refused.append(request)
        return Whole(401, {"error": "no"}) if len(refused) == 1 else Whole(200, {})

    gateway.override = once
    fails(access.revoked_key, session, r"40 of the 40 requests after it were answered \[200\]")


def test_a_forged_owner_fails(session: Session, gateway: Gateway) -> None:
    gateway.owner = "mallory"
    fails(access.forged_identity, session, "belongs to 'mallory', not to 'alice'")


def test_forged_headers_that_open_a_door_fail(session: Session, gateway: Gateway) -> None:
    gateway.override = lambda request: Whole(201, {}) if request.header("X-MaaS-Username") else None
    fails(access.forged_identity, session, "with nothing but forged headers: got 201")


def test_forged_headers_that_reach_a_provider_fail(session: Session, stack: FakeStack) -> None:
    arrived = Received("POST", "/", (("X-MaaS-Username", "mallory"),), b"", None)
    stack.simulators["openai"].received.append(arrived)
    fails(access.forged_identity, session, "openai received X-MaaS-Username")


@pytest.mark.parametrize("stack", [0.0], indirect=True)
def test_a_stream_that_comes_all_at_once_fails(session: Session) -> None:
    fails(answers.streaming, session, "something holds them back")


def test_a_stream_in_one_piece_fails(session: Session, gateway: Gateway) -> None:
    gateway.override = lambda request: Whole(200, {}) if b"stream" in request.body else None
    fails(answers.streaming, session, "1 chunks")


@pytest.mark.parametrize("where", ["log", "answer", "dump", "other provider", "mode", "none"])
def test_a_provider_key_in_the_wrong_place_fails(session: Session, stack: FakeStack, where: str) -> None:
    key = stack.keys["openai"]
    reason = {
        "log": "a provider key is in: logs.txt",
        "answer": "a provider key is in: answer",
        "dump": "a provider key is in: Envoy's config dump",
        "other provider": "anthropic received another provider's key",
        "mode": "openai in secrets has mode 644",
        "none": "openai received requests without its key",
    }[where]
    if where == "log":
        (stack.folder / "logs.txt").write_text(f"oops {key}")
    elif where == "answer":
        stack.client.transcript.append(f"200\n\n{key}")
    elif where == "dump":
        stack.dump = key
    elif where == "other provider":
        stack.simulators["anthropic"].received.append(stack.request_with_key("openai", HOSTS["openai"]))
    elif where == "mode":
        (stack.secret_folders[0] / "openai").chmod(0o644)
    else:
        stack.simulators["openai"].received.append(Received("GET", "/", (), b"", HOSTS["openai"]))
    assert key not in reason
    fails(leaks.provider_keys, session, reason)


def test_a_provider_may_want_its_key_elsewhere_on_one_of_its_paths(session: Session, stack: FakeStack) -> None:
    key, host = stack.keys["anthropic"], HOSTS["anthropic"]
    bearer = (("Host", host), ("Authorization", f"Bearer {key}"))
    received = stack.simulators["anthropic"].received
    received.append(Received("POST", "/v1/chat/completions", bearer, b"", host))
    assert "Envoy's config dump" in leaks.provider_keys(session)
    received.append(Received("POST", "/v1/messages", bearer, b"", host))
    fails(leaks.provider_keys, session, "anthropic received requests without its key")


def test_a_search_that_finds_nothing_anywhere_is_not_believed(session: Session, stack: FakeStack) -> None:
    (stack.secret_folders[0] / "openai").unlink()
    fails(leaks.provider_keys, session, "does not even find the keys where they lie")


def test_a_provider_addressed_by_another_name_fails(session: Session, stack: FakeStack) -> None:
    stack.simulators["openai"].received.append(stack.request_with_key("openai", "evil.example"))
    fails(leaks.provider_keys, session, "was addressed as")


@pytest.mark.parametrize("part", ["header", "body", "path"])
def test_a_maas_key_at_a_provider_fails(session: Session, stack: FakeStack, part: str) -> None:
    key = session.key
    arrived = Received(
        "POST",
        f"/?k={key}" if part == "path" else "/v1/messages",
        (("Authorization", f"Bearer {key}"),) if part == "header" else (),
        json.dumps({"k": key}).encode() if part == "body" else b"",
        None,
    )
    stack.simulators["anthropic"].received.append(arrived)
    fails(leaks.maas_keys, session, "anthropic received one")


def test_a_maas_key_at_rest_fails(session: Session, stack: FakeStack) -> None:
    (stack.folder / "maas-api.db").write_bytes(b"\x00" + session.key.encode())
    fails(leaks.maas_keys, session, "a MaaS key is in: maas-api.db")


def test_a_gateway_that_lets_pass_without_its_authorizer_fails(
    session: Session, stack: FakeStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack, "stop", lambda: None)
    fails(access.authorizer_down, session, "expected 403 or 503, got 200")
