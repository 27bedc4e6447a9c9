"""The promises beside the table, each measured on the running stack. A check returns what it measured or raises."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from maas_api.demo import secrecy
from maas_api.demo.client import Answer, Streamed
from maas_api.demo.report import Finding
from maas_api.demo.seed import CALLS, Call
from maas_api.demo.simulators.server import Received
from maas_api.demo.stack import PAUSE, Stack

LOCAL = CALLS[0]
"""The in-cluster model: always simulated, so many calls cost nobody anything."""


class CheckError(Exception):
    """A promise did not hold. The message says what was seen instead."""


@dataclass
class Session:
    """What the checks share: the stack, the MaaS keys minted so far (the first one is the user's)."""

    stack: Stack
    keys: list[str]

    @property
    def key(self) -> str:
        """The user's MaaS key."""
        return self.keys[0]

    def mint(self, name: str) -> tuple[str, str]:
        """Mint a key with the platform token, as the validation does. Returns (id, key); raises CheckError."""
        user = self.stack.user
        answer = self.stack.client.call(
            "POST", "/maas-api/v1/api-keys", credential=user.token, body={"name": name, "expiresIn": "1d"}
        )
        _require(answer.status == 201, f"POST /maas-api/v1/api-keys: {answer.brief()}")
        minted = answer.json()
        self.keys.append(minted["key"])
        return minted["id"], minted["key"]


Check = Callable[[Session], str]


def run(promise: str, check: Check, session: Session) -> Finding:
    """Run one check. Whatever goes wrong is a finding too."""
    try:
        return Finding(promise, True, check(session))
    except CheckError as fault:
        return Finding(promise, False, str(fault))
    except Exception as fault:  # a check that cannot be carried out has not passed
        return Finding(promise, False, f"could not be checked: {type(fault).__name__}: {fault}")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise CheckError(otherwise)


def _refused_everywhere(session: Session, credential: str | None) -> str:
    """Every route refuses the credential with 401 and a JSON reason, and nothing reaches a model."""
    stack = session.stack
    before = stack.received()
    requests: list[tuple[str, str, object]] = [("POST", call.path, call.body) for call in CALLS]
    requests += [("GET", "/v1/models", None), ("GET", "/v1/api-keys/config", None)]
    requests += [("POST", "/maas-api/v1/api-keys", {"name": "refused"})]
    for method, path, body in requests:
        answer = stack.client.call(method, path, credential=credential, body=body)
        _require(answer.status == 401, f"{method} {path}: expected 401, got {answer.brief()}")
        _require(bool(_error_text(answer)), f"{method} {path}: 401 without a JSON reason: {answer.brief()}")
    _require(stack.received() == before, "a refused request reached a model server")
    return f"401 on {len(requests)} of {len(requests)} routes: {_error_text(answer)}"


def _error_text(answer: Answer) -> str:
    try:
        error = answer.json()["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return ""


def one_listing(session: Session) -> str:
    """The key lists the local model and the external ones, and retrieves one whose id holds a slash."""
    client = session.stack.client
    answer = client.call("GET", "/v1/models", credential=session.key)
    _require(answer.status == 200, f"GET /v1/models: {answer.brief()}")
    listed = [model["id"] for model in answer.json()["data"]]
    missing = [call.model for call in CALLS if call.model not in listed]
    _require(not missing, f"not listed: {', '.join(missing)}; listed: {', '.join(listed)}")
    one = client.call("GET", f"/v1/models/{LOCAL.model}", credential=session.key)
    _require(one.status == 200 and one.json()["id"] == LOCAL.model, f"GET /v1/models/{LOCAL.model}: {one.brief()}")
    return f"GET /v1/models: {', '.join(listed)}"


def no_credential(session: Session) -> str:
    """A request without a credential is refused."""
    return _refused_everywhere(session, None)


def junk_key(session: Session) -> str:
    """A key nobody minted is refused: nonsense, and a real key with one letter changed."""
    twisted = session.key[:-1] + ("a" if session.key[-1] != "a" else "b")
    _refused_everywhere(session, twisted)
    return _refused_everywhere(session, "sk-oai-junk")


def revoked_key(session: Session) -> str:
    """A key that has just worked, and is therefore remembered by every worker, is refused once it is revoked."""
    client = session.stack.client
    identifier, key = session.mint("to be revoked")
    call = LOCAL
    warm = 20
    for _ in range(warm):
        _require_ok(client.call("POST", call.path, credential=key, body=call.body))
    answer = client.call("DELETE", f"/maas-api/v1/api-keys/{identifier}", credential=session.stack.user.token)
    _require(answer.status == 200, f"DELETE /maas-api/v1/api-keys/{{id}}: {answer.brief()}")
    revoked = time.monotonic()
    before = session.stack.received()
    first = client.call("POST", call.path, credential=key, body=call.body)
    elapsed = (time.monotonic() - revoked) * 1000
    _require(first.status == 401, f"{elapsed:.0f} ms after the revocation: expected 401, got {first.brief()}")
    for number in range(warm):
        answer = client.call("POST", call.path, credential=key, body=call.body)
        _require(answer.status == 401, f"request {number + 2} after the revocation: got {answer.brief()}")
    _require(session.stack.received() == before, "a request with the revoked key reached the model")
    return f"401 at the next request, {elapsed:.0f} ms after the revocation, and at the {warm} after it"


def _require_ok(answer: Answer) -> None:
    _require(answer.status == 200, f"expected 200, got {answer.brief()}")


def forged_identity(session: Session) -> str:
    """Identity headers sent by a client open nothing, change nothing and reach nobody."""
    client, user = session.stack.client, session.stack.user
    forged = {"X-MaaS-Username": "mallory", "X-MaaS-Group": '["system:masters"]', "X-MaaS-Subscription": "premium"}
    statuses = []
    for spelled in (forged, {name.replace("-", "_"): value for name, value in forged.items()}):
        alone = client.call("POST", "/maas-api/v1/api-keys", headers=spelled, body={"name": "forged"})
        _require(alone.status in (400, 401, 403), f"with nothing but forged headers: got {alone.brief()}")
        statuses.append(str(alone.status))
    minted = client.call(
        "POST",
        "/maas-api/v1/api-keys",
        credential=user.token,
        headers=forged,
        body={"name": "forged", "expiresIn": "1h"},
    )
    _require(minted.status == 201, f"with a platform token beside them: {minted.brief()}")
    session.keys.append(minted.json()["key"])
    record = client.call("GET", f"/maas-api/v1/api-keys/{minted.json()['id']}", credential=user.token)
    owner = record.json().get("username")
    _require(owner == user.username, f"the key belongs to {owner!r}, not to {user.username!r}")
    for call in CALLS:
        _require_ok(client.call("POST", call.path, credential=session.key, headers=forged, body=call.body))
    for name, request in _everything_received(session.stack):
        seen = [key for key, _ in request.headers if key.lower().startswith(("x-maas-", "x_maas_"))]
        _require(not seen, f"{name} received {', '.join(seen)}")
    return f"alone {'/'.join(statuses)}; beside a real token the key is {owner}'s; none reached a model"


def _everything_received(stack: Stack) -> list[tuple[str, Received]]:
    return [(name, request) for name, simulator in stack.simulators.items() for request in list(simulator.received)]


def streaming(session: Session) -> str:
    """A streamed answer arrives as it is made, not all at its end."""
    parts = []
    for call in CALLS:
        body = {**call.body, "max_tokens": 8, "stream": True}
        streamed = session.stack.client.stream(call.path, credential=session.key, body=body)
        _require(streamed.status == 200, f"{call.label}: stream answered {streamed.status}")
        parts.append(_separate(call, streamed, simulated=session.stack.simulated(call.provider)))
    return "; ".join(parts)


def _separate(call: Call, streamed: Streamed, *, simulated: bool) -> str:
    count = len(streamed.pieces)
    typical = statistics.median(streamed.gaps) if streamed.gaps else 0.0
    shown = f"{call.label}: {count} chunks, {typical * 1000:.0f} ms apart"
    _require(count >= 2, f"{shown}: expected several")
    if simulated:
        _require(count >= 4, f"{shown}: expected at least 4")
        _require(
            typical >= PAUSE / 2, f"{shown}: the sender pauses {PAUSE * 1000:.0f} ms, so something holds them back"
        )
    return shown


def provider_keys(session: Session) -> str:
    """Each provider got its own key, and these keys are nowhere else: not in answers, files, logs, processes."""
    stack = session.stack
    for name, simulator in stack.simulators.items():
        for request in list(simulator.received):
            foreign = [key for owner, key in stack.keys.items() if owner != name and key in request.text()]
            _require(not foreign, f"{name} received another provider's key")
        if name in stack.keys:
            _require_provider_saw_its_key(stack, name)
    keys = list(stack.keys.values())
    control = secrecy.in_files(keys, stack.envoy.folder / "secrets")
    _require(len(control.places) == len(keys), "the search does not even find the keys where they lie")
    answers = secrecy.in_texts(keys, {f"answer {n}": text for n, text in enumerate(stack.client.transcript, 1)})
    dump = secrecy.in_texts(keys, {"Envoy's config dump": stack.envoy.config_dump()})
    files = secrecy.in_files(keys, stack.folder, except_in=stack.secret_folders)
    processes = secrecy.in_processes(keys, os.getpid())
    found = [*answers.places, *dump.places, *files.places, *processes.places]
    _require(not found, f"a provider key is in: {', '.join(found)}")
    _require_private(stack.secret_folders)
    _require(processes.looked_at > 0 or not Path("/proc").is_dir(), "no process was looked at")
    return (
        f"not in {answers.looked_at} answers, {files.looked_at} files (configuration, logs, database), "
        f"Envoy's config dump, {processes.looked_at} processes"
    )


def _require_provider_saw_its_key(stack: Stack, name: str) -> None:
    key = stack.keys[name]
    header, value = ("x-api-key", key) if name == "anthropic" else ("authorization", f"Bearer {key}")
    received = list(stack.simulators[name].received)
    _require(bool(received), f"{name} received nothing")
    _require(all(request.header(header) == value for request in received), f"{name} received requests without its key")
    host = {"openai": "api.openai.com", "anthropic": "api.anthropic.com"}[name]
    seen = {(request.header("host"), request.sni) for request in received}
    _require(seen == {(host, host)}, f"{name} was addressed as {sorted(map(str, seen))}, not as {host}")


def _require_private(folders: Sequence[Path]) -> None:
    for folder in folders:
        for file in folder.rglob("*"):
            mode = file.stat().st_mode & 0o777
            _require(not file.is_file() or mode == 0o600, f"{file.name} in {folder.name} has mode {mode:o}, not 600")


def maas_keys(session: Session) -> str:
    """No provider and no model server ever sees a MaaS key or a platform token; at rest there are only hashes."""
    stack = session.stack
    wanted = [*session.keys, stack.user.token]
    received = _everything_received(stack)
    for name, request in received:
        _require(not any(secret in request.text() for secret in wanted), f"{name} received it: {request.path}")
        _require(request.header("cookie") is None, f"{name} received a cookie")
    files = secrecy.in_files(session.keys, stack.folder)
    _require(not files.places, f"a MaaS key is in: {', '.join(files.places)}")
    return f"not in {len(received)} requests that providers and models received, nor in {files.looked_at} files"


def authorizer_down(session: Session) -> str:
    """While maas-api is down every route refuses, and it serves again, with the same keys, when it is back."""
    stack = session.stack
    stack.service.stop()
    before = stack.received()
    statuses = []
    for call in CALLS:
        answer = stack.client.call("POST", call.path, credential=session.key, body=call.body)
        _require(answer.status in (403, 503), f"{call.label}: expected 403 or 503, got {answer.brief()}")
        statuses.append(str(answer.status))
    listing = stack.client.call("GET", "/v1/models", credential=session.key)
    _require(listing.status in (403, 503), f"GET /v1/models: expected 403 or 503, got {listing.brief()}")
    _require(stack.received() == before, "a request reached a model although nobody authorized it")
    begun = time.monotonic()
    stack.start_service()
    while True:  # Envoy may take a moment to connect again
        answer = stack.client.call("POST", LOCAL.path, credential=session.key, body=LOCAL.body)
        back = time.monotonic() - begun
        if answer.status == 200:
            break
        _require(back < 10, f"10 s after its restart: {answer.brief()}")
        time.sleep(0.05)
    return (
        f"{'/'.join(sorted(set(statuses)))} on every route, no model reached; restarted, the key works ({back:.1f} s)"
    )


CHECKS: Sequence[tuple[str, Check]] = (
    ("one listing for all models", one_listing),
    ("no credential: 401", no_credential),
    ("junk key: 401", junk_key),
    ("revoked key: 401 at the next request", revoked_key),
    ("forged X-MaaS-Username ignored", forged_identity),
    ("a stream arrives in separate chunks", streaming),
    ("ext_authz down: refused", authorizer_down),
    ("provider keys seen by providers only", provider_keys),
    ("the MaaS key seen by no provider", maas_keys),
)
"""Promise and check, in the order they run: the searches come last, over everything that happened before."""
