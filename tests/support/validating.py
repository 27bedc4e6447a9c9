"""Validation over a store in memory whose answers, delays and failures a test decides."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

from maas_api.keys import format as key_format
from maas_api.validation import verdict
from maas_api.validation.cache import VerdictCache
from maas_api.validation.lookup import Lookup
from maas_api.validation.trust import Channel, Trust
from maas_api.validation.validation import Validation
from maas_api.validation.verdict import Verdict
from maas_api.wire import Request


def good(key_id: str, expires_at: float | None = None) -> Verdict:
    return verdict.accepted(
        key_id=key_id,
        key_name="n",
        username="ann",
        groups=("g",),
        subscription="s",
        tenant="t",
        models=None,
        expires_at=expires_at,
    )


class Store:
    """Rows by hash. ``gate`` closed holds answers back after the rows were read, as a slow network would."""

    def __init__(self) -> None:
        self.rows: dict[str, Verdict] = {}
        self.fault: Exception | None = None
        self.asked: list[list[str]] = []
        self.on_fetch: Callable[[], None] = lambda: None
        self.gate = threading.Event()
        self.gate.set()
        self.read = threading.Semaphore(0)

    def fetch(self, hashes: Sequence[str]) -> Mapping[str, Verdict]:
        if self.fault is not None:
            raise self.fault
        found = {key_hash: self.rows.get(key_hash, verdict.NOT_FOUND) for key_hash in hashes}
        self.asked.append(list(hashes))
        self.on_fetch()
        self.read.release()
        assert self.gate.wait(10)
        return found

    def probe(self) -> None:
        if self.fault is not None:
            raise self.fault

    def close(self) -> None:
        self.closed = True


class Feed:
    """A channel that is heard for as long as the test says, and that counts how often it was polled."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.on_poll: Callable[[], None] = lambda: None

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def poll(self) -> None:
        self.on_poll()


class Notes:
    def __init__(self) -> None:
        self.uses: list[str] = []
        self.expiries: list[str] = []

    def used(self, key_id: str) -> None:
        self.uses.append(key_id)

    def expired(self, key_id: str) -> None:
        self.expiries.append(key_id)


class World:
    """Everything around one Validation, on clocks that the test moves."""

    def __init__(self, size: int = 100, deadline: float = 5) -> None:
        self.now = 1_000.0
        self.wall = 1_700_000_000.0
        self.store = Store()
        self.feed = Feed(Channel(since=0.0, heard=float("inf")))
        self.notes = Notes()
        self.cache = VerdictCache(size)
        self.lookup = Lookup(self.store, self.cache, deadline=deadline, clock=lambda: self.now)
        self.validation = Validation(
            self.cache,
            self.lookup,
            self.feed,
            self.notes,
            Trust(unheard=5, max_age=60, grace=30),
            deadline=deadline,
            clock=lambda: self.now,
            wall=lambda: self.wall,
        )

    def key(self, key_id: str = "id", expires_at: float | None = None) -> str:
        new = key_format.make()
        self.store.rows[new.hash] = good(key_id, expires_at)
        return new.plaintext

    def check(self, key: str) -> Verdict:
        answer = self.validation.check(key)
        return answer.result(10) if isinstance(answer, Future) else answer

    def is_known(self, key: str) -> bool:
        """Whether the answer needs no lookup."""
        return isinstance(self.validation.check(key), Verdict)


def request(body: bytes) -> Request:
    return Request("POST", "/internal/v1/api-keys/validate", "", [], body)
