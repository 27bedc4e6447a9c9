"""What is asked, and what each caller is answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

CALLERS = ("nobody", "junk", "unlimited", "limited", "other-group", "other-subscription", "token")
"""``unlimited``, ``limited`` (to gpt-4o-mini) and ``token`` are alice of staff; ``other-group`` is of guests;
``other-subscription`` is of staff, by a subscription that includes nothing in the cluster."""

UNKNOWN, GONE, CLOSED, OK = 401, 404, 403, 200


class Row(NamedTuple):
    """One request, and the status each caller gets."""

    method: str
    path: str
    body: Mapping[str, Any] | None
    expected: tuple[int, ...]
    rendered: bool = False
    """Whether a cluster's rendered routes lead there too."""

    def at(self, gateway: str) -> tuple[int, ...] | None:
        """What is expected at a gateway; None where the row is not asked. A cluster has no route at all for what is
        open to nobody, so there even the credential is not looked at."""
        if gateway == "native":
            return self.expected
        if not self.rendered:
            return None
        if self.expected == NOT_OPEN:
            return (GONE,) * len(CALLERS)
        if gateway == "kuadrant" and self.method == "POST":  # it has one status for whatever a policy refuses
            return tuple(OK if status == OK else UNKNOWN for status in self.expected)
        return self.expected

    def __str__(self) -> str:
        return f"{self.method} {self.path}" + (f" ({self.body['model']})" if self.body else "")


def known(*, limited: int, group: int, subscription: int, others: int) -> tuple[int, ...]:
    """Statuses where who is not known is answered 401."""
    return UNKNOWN, UNKNOWN, others, limited, group, subscription, others


EVERYONE = known(limited=OK, group=OK, subscription=OK, others=OK)
UNLIMITED = known(limited=CLOSED, group=OK, subscription=OK, others=OK)
STAFF = known(limited=CLOSED, group=GONE, subscription=OK, others=OK)
SUBSCRIBED = known(limited=CLOSED, group=OK, subscription=GONE, others=OK)
NO_MODEL = known(limited=GONE, group=GONE, subscription=GONE, others=GONE)
NOT_OPEN = known(limited=CLOSED, group=CLOSED, subscription=CLOSED, others=CLOSED)

TEXT = [{"role": "user", "content": "Hello"}]
MINI, STAFF_ONLY, CLAUDE, OPT = "gpt-4o-mini", "gpt-4o", "claude-sonnet-4-20250514", "facebook/opt-125m"
PLACE = "/llm/facebook-opt-125m-simulated"

OPENAI_BODIES: Mapping[str, Mapping[str, Any]] = {
    "chat/completions": {"messages": TEXT, "max_tokens": 5},
    "completions": {"prompt": "Hello", "max_tokens": 5},
    "responses": {"input": "Hello"},
    "embeddings": {"input": "Hello"},
    "moderations": {"input": "Hello"},
    "images/generations": {"prompt": "A cat"},
    "audio/speech": {"input": "Hello", "voice": "alloy"},
}
CLOSED_AT_OPENAI = (
    *(
        ("GET", f"v1/{name}")
        for name in ("files", "batches", "fine_tuning/jobs", "assistants", "vector_stores", "evals")
    ),
    *(("GET", f"v1/{name}") for name in ("responses/resp_1", "chat/completions", "chat/completions/c_1", "containers")),
    *(("POST", f"v1/{name}") for name in ("files", "batches", "fine_tuning/jobs", "uploads", "threads", "assistants")),
    *(("POST", f"v1/{name}") for name in ("audio/transcriptions", "images/edits", "realtime/sessions", "videos")),
    *(("POST", f"v1/{name}") for name in ("responses/resp_1/cancel", "responses/compact", "organization/api_keys")),
    *(("DELETE", f"v1/{name}") for name in ("files/f_1", "responses/resp_1", "models/gpt-4o-mini", "assistants/a_1")),
    *(("PUT", f"v1/{name}") for name in ("chat/completions", "files/f_1")),
    ("PATCH", "v1/chat/completions"),
    ("POST", "v1/chat/completions/"),
    ("POST", "v1/chat/completions/c_1"),
    ("POST", "chat/completions"),
    ("POST", "v2/chat/completions"),
    ("POST", "v1/CHAT/completions"),
    ("POST", ""),
)
CLOSED_AT_ANTHROPIC = (
    *(("GET", f"v1/{name}") for name in ("files", "messages/batches", "messages", "organizations/api_keys", "skills")),
    *(("POST", f"v1/{name}") for name in ("files", "messages/batches", "messages/", "skills", "organizations/invites")),
    *(("DELETE", f"v1/{name}") for name in ("files/f_1", "messages/batches/b_1", "messages")),
)


def rows() -> Iterator[Row]:
    """The whole table."""
    yield from _openai()
    yield from _anthropic()
    yield from _root()
    yield from _cluster()
    yield from _own()


def _openai() -> Iterator[Row]:
    for endpoint, body in OPENAI_BODIES.items():
        path = f"/external/openai/v1/{endpoint}"
        yield Row("POST", path, {"model": MINI, **body}, EVERYONE, rendered=True)
        yield Row("POST", path, {"model": STAFF_ONLY, **body}, STAFF, rendered=True)
        for name in ("gpt-5.4-mini", "GPT-4o-mini", CLAUDE, OPT):  # the account's, misspelt, and others'
            yield Row("POST", path, {"model": name, **body}, NO_MODEL, rendered=True)
    for method, path in CLOSED_AT_OPENAI:
        body = {"model": MINI, "messages": TEXT} if method in ("POST", "PUT", "PATCH") else None
        yield Row(method, f"/external/openai/{path}", body, NOT_OPEN, rendered=True)
    yield Row("GET", "/external/openai/v1/models", None, EVERYONE, rendered=True)
    yield Row("GET", f"/external/openai/v1/models/{MINI}", None, EVERYONE, rendered=True)
    yield Row("GET", "/external/openai/v1/models/gpt-5.4-mini", None, NO_MODEL, rendered=True)
    staff = known(limited=GONE, group=GONE, subscription=OK, others=OK)
    yield Row("GET", f"/external/openai/v1/models/{STAFF_ONLY}", None, staff, rendered=True)


def _anthropic() -> Iterator[Row]:
    body = {"messages": TEXT, "max_tokens": 5}
    for endpoint in ("messages", "messages/count_tokens"):
        yield Row("POST", f"/external/anthropic/v1/{endpoint}", {"model": CLAUDE, **body}, UNLIMITED, rendered=True)
        yield Row("POST", f"/external/anthropic/v1/{endpoint}", {"model": MINI, **body}, NO_MODEL, rendered=True)
    for method, path in CLOSED_AT_ANTHROPIC:
        more = {"model": CLAUDE, **body} if method == "POST" else None
        yield Row(method, f"/external/anthropic/{path}", more, NOT_OPEN, rendered=True)
    yield Row("GET", "/external/anthropic/v1/models", None, EVERYONE, rendered=True)


def _root() -> Iterator[Row]:
    for endpoint, body in OPENAI_BODIES.items():
        yield Row("POST", f"/v1/{endpoint}", {"model": MINI, **body}, EVERYONE, rendered=True)
        yield Row("POST", f"/v1/{endpoint}", {"model": STAFF_ONLY, **body}, STAFF, rendered=True)
        yield Row("POST", f"/v1/{endpoint}", {"model": "gpt-5.4-mini", **body}, NO_MODEL, rendered=True)
    body = {"messages": TEXT, "max_tokens": 5}
    yield Row("POST", "/v1/messages", {"model": CLAUDE, **body}, UNLIMITED, rendered=True)
    yield Row("POST", "/v1/chat/completions", {"model": OPT, **body}, SUBSCRIBED)
    wrong = known(limited=405, group=405, subscription=405, others=405)
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        yield Row(method, "/v1/chat/completions", None, wrong)
    for method, path in (
        ("GET", "files"),
        ("POST", "files"),
        ("GET", "batches"),
        ("POST", "batches"),
        ("GET", "nothing"),
    ):
        yield Row(method, f"/v1/{path}", {"model": MINI} if method == "POST" else None, NO_MODEL)


def _cluster() -> Iterator[Row]:
    body = {"model": OPT, "messages": TEXT, "max_tokens": 5}
    yield Row("POST", f"{PLACE}/v1/chat/completions", body, SUBSCRIBED)
    yield Row("GET", f"{PLACE}/v1/models", None, SUBSCRIBED)
    nowhere = (GONE,) * len(CALLERS)
    yield Row("POST", "/llm/another/v1/chat/completions", body, nowhere)
    yield Row("POST", "/external/mistral/v1/chat/completions", {**body, "model": MINI}, nowhere)


def _own() -> Iterator[Row]:
    yield Row("GET", "/v1/models", None, EVERYONE)
    yield Row("GET", "/v1/api-keys/config", None, EVERYONE)
    yield Row("GET", "/maas-api/health", None, (OK,) * len(CALLERS))
    for method, path in (
        ("POST", "/internal/v1/api-keys/validate"),
        ("GET", "/internal/v1/authz/v1/models"),
        ("GET", "/readyz"),
        ("GET", "/metrics"),
        ("GET", "/"),
        ("GET", "/external"),
    ):
        yield Row(method, path, None, (GONE,) * len(CALLERS))
