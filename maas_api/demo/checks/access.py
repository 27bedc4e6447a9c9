"""Who is let in: nobody without a good key, nobody by forged headers, nobody while nobody can be asked."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from maas_api.demo.checks.session import LOCAL, Session, everything_received, require
from maas_api.demo.client import Answer
from maas_api.demo.one_url import ROOT_CALLS
from maas_api.demo.seed import CALLS

EVERY_CALL = (*CALLS, *(root.call for root in ROOT_CALLS))
"""The calls on the models' own paths and at the root."""

BURST, PARALLEL = 40, 8
"""Requests around a revocation, and how many of them at a time."""


def no_credential(session: Session) -> str:
    """A request without a credential is refused."""
    return _refused_everywhere(session, None)


def junk_key(session: Session) -> str:
    """A key nobody minted is refused: nonsense, and a real key with one letter changed."""
    twisted = session.key[:-1] + ("a" if session.key[-1] != "a" else "b")
    _refused_everywhere(session, twisted)
    return _refused_everywhere(session, "sk-oai-junk")


def revoked_key(session: Session) -> str:
    """A key that has just worked on every worker, and is therefore remembered there, is refused once it is revoked."""
    client = session.stack.client
    identifier, key = session.mint("to be revoked")

    def call(_: int = 0) -> Answer:
        return client.call("POST", LOCAL.path, credential=key, body=LOCAL.body)

    with ThreadPoolExecutor(PARALLEL) as pool:  # at once, so that they spread over the service's workers
        for answer in pool.map(call, range(BURST)):
            require(answer.status == 200, f"before the revocation: expected 200, got {answer.brief()}")
        answer = client.call("DELETE", f"/maas-api/v1/api-keys/{identifier}", credential=session.stack.user.token)
        require(answer.status == 200, f"DELETE /maas-api/v1/api-keys/{{id}}: {answer.brief()}")
        revoked = time.monotonic()
        before = session.stack.received()
        first = call()
        elapsed = (time.monotonic() - revoked) * 1000
        require(first.status == 401, f"{elapsed:.0f} ms after the revocation: expected 401, got {first.brief()}")
        statuses = [answer.status for answer in pool.map(call, range(BURST))]
    late = [status for status in statuses if status != 401]
    require(not late, f"{len(late)} of the {BURST} requests after it were answered {sorted(set(late))}")
    require(session.stack.received() == before, "a request with the revoked key reached the model")
    return f"refused {elapsed:.0f} ms after the revocation, as were {BURST} more, {PARALLEL} at a time"


def forged_identity(session: Session) -> str:
    """Identity headers sent by a client open nothing, change nothing and reach nobody."""
    client, user = session.stack.client, session.stack.user
    forged = {"X-MaaS-Username": "mallory", "X-MaaS-Group": '["system:masters"]', "X-MaaS-Subscription": "premium"}
    statuses = []
    for spelled in (forged, {name.replace("-", "_"): value for name, value in forged.items()}):
        alone = client.call("POST", "/maas-api/v1/api-keys", headers=spelled, body={"name": "forged"})
        require(alone.status in (400, 401, 403), f"with nothing but forged headers: got {alone.status}")
        statuses.append(str(alone.status))
    minted = client.call(
        "POST",
        "/maas-api/v1/api-keys",
        credential=user.token,
        headers=forged,
        body={"name": "forged", "expiresIn": "1h"},
    )
    require(minted.status == 201, f"with a platform token beside them: {minted.brief()}")
    session.keys.append(minted.json()["key"])
    record = client.call("GET", f"/maas-api/v1/api-keys/{minted.json()['id']}", credential=user.token)
    owner = record.json().get("username")
    require(owner == user.username, f"the key belongs to {owner!r}, not to {user.username!r}")
    for call in EVERY_CALL:
        answer = client.call("POST", call.path, credential=session.key, headers=forged, body=call.body)
        require(
            answer.status == 200,
            f"{call.label} at {call.path}, with forged headers beside a good key: {answer.brief()}",
        )
    for name, request in everything_received(session.stack):
        seen = [key for key, _ in request.headers if key.lower().startswith(("x-maas-", "x_maas_"))]
        require(not seen, f"{name} received {', '.join(seen)}")
    return f"alone {'/'.join(statuses)}; beside a real token the key is {owner}'s; none reached a model"


def authorizer_down(session: Session) -> str:
    """While maas-api is down every route refuses, and it serves again, with the same keys, when it is back."""
    stack = session.stack
    stack.service.stop()
    before = stack.received()
    statuses = []
    for call in EVERY_CALL:
        answer = stack.client.call("POST", call.path, credential=session.key, body=call.body)
        require(answer.status in (403, 503), f"{call.label} at {call.path}: expected 403 or 503, got {answer.brief()}")
        statuses.append(str(answer.status))
    listing = stack.client.call("GET", "/v1/models", credential=session.key)
    require(listing.status in (403, 503), f"GET /v1/models: expected 403 or 503, got {listing.brief()}")
    require(stack.received() == before, "a request reached a model although nobody authorized it")
    begun = time.monotonic()
    stack.start_service()
    while True:  # Envoy may take a moment to connect again
        answer = stack.client.call("POST", LOCAL.path, credential=session.key, body=LOCAL.body)
        back = time.monotonic() - begun
        if answer.status == 200:
            break
        require(back < 10, f"10 s after its restart: {answer.brief()}")
        time.sleep(0.05)
    return (
        f"{'/'.join(sorted(set(statuses)))} on every route, no model reached; restarted, the key works ({back:.1f} s)"
    )


def _refused_everywhere(session: Session, credential: str | None) -> str:
    """Every route refuses the credential with 401 and a JSON reason, and nothing reaches a model."""
    stack = session.stack
    before = stack.received()
    requests: list[tuple[str, str, object]] = [("POST", call.path, call.body) for call in EVERY_CALL]
    requests += [("GET", "/v1/models", None), ("GET", "/v1/api-keys/config", None)]
    requests += [("POST", "/maas-api/v1/api-keys", {"name": "refused"})]
    for method, path, body in requests:
        answer = stack.client.call(method, path, credential=credential, body=body)
        require(answer.status == 401, f"{method} {path}: expected 401, got {answer.brief()}")
        require(bool(_error_text(answer)), f"{method} {path}: 401 without a JSON reason: {answer.brief()}")
    require(stack.received() == before, "a refused request reached a model server")
    return f"401 on {len(requests)} of {len(requests)} routes: {_error_text(answer)}"


def _error_text(answer: Answer) -> str:
    try:
        error = answer.json()["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError):
        return ""
