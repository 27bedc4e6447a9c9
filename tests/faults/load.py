"""Load that knows the right answers: every key it holds is known to be good, revoked or invented."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from tests.support.process import USER

VALIDATE = "/internal/v1/api-keys/validate"
TIMEOUT = 15.0


@dataclass
class Record:
    """What clients saw while a fault lasted. ``late`` is the longest a revoked key still opened, in seconds."""

    seen: Counter[str] = field(default_factory=Counter)
    undeclared: list[str] = field(default_factory=list)
    wrong_accepts: int = 0
    wrong_denials: int = 0
    late: float = 0.0


class Load:
    """Clients of every kind against one service, until stopped. :attr:`record` may be replaced at any moment.

    ``revocation_bound`` is how long, in seconds, a revoked key may still open: what is promised in the present state.
    ``resets`` says whether a connection may break in the middle of a request now.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.good: dict[str, str] = {}
        self.revoked: dict[str, float] = {}
        self.record = Record()
        self.revocation_bound = 1.0
        self.resets = False

    @contextmanager
    def running(self) -> Iterator[None]:
        """Keep the load up inside the block."""
        jobs = [self._validate, self._validate, self._validate, self._mint, self._revoke, self._list]
        threads = [threading.Thread(target=self._loop, args=(job,), daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(TIMEOUT + 5)

    def seed(self, count: int) -> None:
        """Mint keys before anything goes wrong."""
        with httpx.Client(base_url=self._url, timeout=TIMEOUT) as client:
            for _ in range(count):
                self._mint(client)

    def _loop(self, job: Callable[[httpx.Client], None]) -> None:
        client = httpx.Client(base_url=self._url, timeout=TIMEOUT)
        while not self._stop.is_set():
            try:
                job(client)
            except httpx.TimeoutException:
                self._undeclared(f"{job.__name__[1:]}: no answer within {TIMEOUT:g} s")
            except httpx.TransportError as fault:
                self.record.seen["connection lost"] += 1
                if not self.resets:
                    self._undeclared(f"{job.__name__[1:]}: {fault!r}")
                client.close()
                client = httpx.Client(base_url=self._url, timeout=TIMEOUT)
        client.close()

    def _undeclared(self, text: str) -> None:
        self.record.undeclared.append(text)

    def _validate(self, client: httpx.Client) -> None:
        record = self.record
        kind = random.choices(("good", "revoked", "junk"), (7, 2, 1))[0]
        with self._lock:
            pool = {"good": list(self.good), "revoked": list(self.revoked), "junk": []}[kind]
        key = random.choice(pool) if pool else "sk-oai-" + "".join(random.choices("abc123", k=16)) + "_junk"
        begun = time.monotonic()
        answer = client.post(VALIDATE, json={"key": key})
        if answer.status_code == 503 and not answer.content:
            record.seen["validate 503, empty"] += 1
            return
        if answer.status_code != 200:
            self._undeclared(f"validate: {answer.status_code} {answer.text[:80]}")
            return
        self._judge(record, key, begun, valid=answer.json()["valid"])

    def _judge(self, record: Record, key: str, begun: float, *, valid: bool) -> None:
        with self._lock:
            good, revoked_at = key in self.good, self.revoked.get(key)
        record.seen["validate 200"] += 1
        if good and not valid:
            record.wrong_denials += 1
        if valid and not good and revoked_at is None and "junk" in key:
            record.wrong_accepts += 1
        if valid and revoked_at is not None and begun > revoked_at:
            record.late = max(record.late, begun - revoked_at)
            record.wrong_accepts += begun - revoked_at > self.revocation_bound

    def _mint(self, client: httpx.Client) -> None:
        answer = client.post("/v1/api-keys", json={"name": "load"}, headers=USER)
        self._note("mint", answer, (201,), (500, 503))
        if answer.status_code == 201:
            with self._lock:
                self.good[answer.json()["key"]] = answer.json()["id"]
        self._stop.wait(0.03)

    def _revoke(self, client: httpx.Client) -> None:
        self._stop.wait(0.15)
        with self._lock:
            if len(self.good) < 10:
                return
            key = random.choice(list(self.good))
            key_id = self.good.pop(key)  # neither good nor revoked until the answer is known
        answer = client.delete(f"/v1/api-keys/{key_id}", headers=USER)
        self._note("revoke", answer, (200,), (500, 503))
        if answer.status_code == 200:
            with self._lock:
                self.revoked[key] = time.monotonic()

    def _list(self, client: httpx.Client) -> None:
        answer = client.get("/v1/models", headers={**USER, "Authorization": "Bearer opaque"})
        self._note("list", answer, (200,), ())
        self._stop.wait(0.05)

    def _note(self, job: str, answer: httpx.Response, right: tuple[int, ...], declared: tuple[int, ...]) -> None:
        self.record.seen[f"{job} {answer.status_code}"] += 1
        if answer.status_code in right:
            return
        shaped = answer.headers.get("content-type", "").startswith("application/json") and "error" in answer.text
        if answer.status_code not in declared or not shaped:
            self._undeclared(f"{job}: {answer.status_code} {answer.text[:80]}")

    def lost(self) -> tuple[int, int]:
        """After recovery: minted keys that do not validate, and revoked or invented ones that do."""
        with httpx.Client(base_url=self._url, timeout=TIMEOUT) as client, self._lock:
            lost = sum(not client.post(VALIDATE, json={"key": key}).json()["valid"] for key in self.good)
            old = [key for key, at in self.revoked.items() if time.monotonic() - at > self.revocation_bound]
            back = sum(client.post(VALIDATE, json={"key": key}).json()["valid"] for key in old)
        return lost, back

    def well(self) -> bool:
        """Whether one of everything works now."""
        try:
            with httpx.Client(base_url=self._url, timeout=TIMEOUT) as client:
                minted = client.post("/v1/api-keys", json={"name": "well"}, headers=USER)
                if minted.status_code != 201:
                    return False
                good: bool = client.post(VALIDATE, json={"key": minted.json()["key"]}).json()["valid"]
                ready = client.get("/readyz").status_code == 200
                return good and ready and client.delete(f"/v1/api-keys/{minted.json()['id']}", headers=USER).is_success
        except (httpx.HTTPError, ValueError):
            return False
