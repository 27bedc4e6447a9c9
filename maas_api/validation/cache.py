"""The validation cache: bounded, keyed by the key's hash, read-through only."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple

from cachetools import LRUCache

from maas_api.validation.verdict import Verdict


class Remembered(NamedTuple):
    """A verdict and when the lookup that gave it began (monotonic seconds)."""

    verdict: Verdict
    checked_at: float


class VerdictCache:
    """Verdicts of one worker, forgotten by key id.

    A lookup may be overtaken: it reads the row, the key is revoked, the invalidation arrives, and only then the
    lookup's answer does. So the reader takes :attr:`epoch` before it asks the store, and :meth:`put` drops what was
    read in an epoch that has ended. Refusals live in a part of their own, so that invented keys cannot push out
    real ones.
    """

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self._hashes: dict[str, set[str]] = {}
        self._accepted = _Indexed(size, self._hashes)
        self._refused: LRUCache[str, Remembered] = LRUCache(size // 10)
        self._epoch = 0

    @property
    def epoch(self) -> int:
        """Changes with every invalidation."""
        return self._epoch

    def __len__(self) -> int:
        return len(self._accepted) + len(self._refused)

    def get(self, key_hash: str) -> Remembered | None:
        """What is remembered of a key, however old."""
        with self._lock:
            found: Remembered | None = self._accepted.get(key_hash)
            return found if found is not None else self._refused.get(key_hash)

    def put(self, key_hash: str, remembered: Remembered, epoch: int) -> bool:
        """Remember what was looked up in ``epoch``. False when that epoch has ended: then nothing changes."""
        with self._lock:
            if epoch != self._epoch:
                return False
            self._accepted.pop(key_hash, None)
            self._refused.pop(key_hash, None)
            part = self._accepted if remembered.verdict.valid else self._refused
            if part.maxsize >= 1:
                part[key_hash] = remembered
            return True

    def forget(self, key_ids: Iterable[str]) -> None:
        """Drop every secret of these keys, and of the keys that end with them."""
        with self._lock:
            self._epoch += 1
            for key_id in key_ids:
                for key_hash in tuple(self._hashes.get(key_id, ())):
                    self._accepted.pop(key_hash, None)

    def forget_all(self) -> None:
        """Drop everything."""
        with self._lock:
            self._epoch += 1
            self._accepted.clear()
            self._refused.clear()


class _Indexed(LRUCache[str, Remembered]):
    """An LRU cache that keeps ``hashes`` in step, evictions included: key id -> the hashes in the cache, of the key and
    of those that end with it."""

    def __init__(self, size: int, hashes: dict[str, set[str]]) -> None:
        super().__init__(size)
        self._hashes = hashes

    def __setitem__(self, key_hash: str, remembered: Remembered) -> None:
        super().__setitem__(key_hash, remembered)
        for key_id in (remembered.verdict.key_id, *remembered.verdict.parents):
            self._hashes.setdefault(key_id, set()).add(key_hash)

    def __delitem__(self, key_hash: str) -> None:
        verdict = self[key_hash].verdict
        super().__delitem__(key_hash)
        for key_id in (verdict.key_id, *verdict.parents):
            left = self._hashes[key_id]
            left.discard(key_hash)
            if not left:
                del self._hashes[key_id]
