"""The validation cache: bounded, keyed by the key's hash, read-through only."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

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
        self._refused = _Newest(size // 10)
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
            return self._accepted.used(key_hash) or self._refused.used(key_hash)

    def put(self, key_hash: str, remembered: Remembered, epoch: int) -> bool:
        """Remember what was looked up in ``epoch``. False when that epoch has ended: then nothing changes."""
        with self._lock:
            if epoch != self._epoch:
                return False
            self._accepted.drop(key_hash)
            self._refused.drop(key_hash)
            part = self._accepted if remembered.verdict.valid else self._refused
            part.add(key_hash, remembered)
            return True

    def forget(self, key_ids: Iterable[str]) -> None:
        """Drop every secret of these keys, and of the keys that end with them."""
        with self._lock:
            self._epoch += 1
            for key_id in key_ids:
                for key_hash in tuple(self._hashes.get(key_id, ())):
                    self._accepted.drop(key_hash)

    def forget_all(self) -> None:
        """Drop everything."""
        with self._lock:
            self._epoch += 1
            self._accepted.clear()
            self._refused.clear()


class _Newest:
    """At most ``size`` entries: those used last."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[str, Remembered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def used(self, key_hash: str) -> Remembered | None:
        """The entry, which is the last one used from now on. At every validation, where a library's takes six times as
        long."""
        found = self._entries.get(key_hash)
        if found is not None:
            self._entries.move_to_end(key_hash)
        return found

    def add(self, key_hash: str, remembered: Remembered) -> None:
        """Put in an entry that is not there. Where that is one too many, the one whose use is the longest ago goes."""
        if self._size < 1:
            return
        if len(self._entries) >= self._size:
            self.drop(next(iter(self._entries)))
        self._entries[key_hash] = remembered

    def drop(self, key_hash: str) -> Remembered | None:
        """Drop an entry, and give it, where there is one."""
        return self._entries.pop(key_hash, None)

    def clear(self) -> None:
        """Drop all."""
        self._entries.clear()


class _Indexed(_Newest):
    """Keeps ``hashes`` in step: key id -> the hashes of its entries, of the key and of those that end with it."""

    def __init__(self, size: int, hashes: dict[str, set[str]]) -> None:
        super().__init__(size)
        self._hashes = hashes

    def add(self, key_hash: str, remembered: Remembered) -> None:
        super().add(key_hash, remembered)
        if key_hash in self._entries:
            for key_id in _ids(remembered):
                self._hashes.setdefault(key_id, set()).add(key_hash)

    def drop(self, key_hash: str) -> Remembered | None:
        dropped = super().drop(key_hash)
        if dropped is not None:
            for key_id in _ids(dropped):
                left = self._hashes[key_id]
                left.discard(key_hash)
                if not left:
                    del self._hashes[key_id]
        return dropped

    def clear(self) -> None:
        super().clear()
        self._hashes.clear()


def _ids(remembered: Remembered) -> Iterable[str]:
    return (remembered.verdict.key_id, *remembered.verdict.parents)
