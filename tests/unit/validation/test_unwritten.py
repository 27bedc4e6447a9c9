"""Revocations that the store does not take are kept and tried again."""

from __future__ import annotations

from collections.abc import Sequence

from maas_api.validation.unwritten import Unwritten
from tests.support.wait import until


class Store:
    def __init__(self) -> None:
        self.full = True
        self.written: list[str] = []

    def write(self, key_ids: Sequence[str]) -> None:
        if self.full:
            raise OSError("no space left")
        self.written += key_ids


def test_they_are_kept_until_the_store_takes_them() -> None:
    store = Store()
    unwritten = Unwritten(store.write)
    unwritten.add(["b", "a"])
    assert not unwritten.retry()
    assert unwritten.keys == {"a", "b"}
    store.full = False
    assert unwritten.retry()
    assert (unwritten.keys, store.written) == (frozenset(), ["a", "b"])


def test_one_added_while_others_are_written_is_not_lost() -> None:
    unwritten = Unwritten(lambda _ids: unwritten.add(["late"]))
    unwritten.add(["a"])
    assert not unwritten.retry()
    assert unwritten.keys == {"late"}


def test_they_are_tried_again_by_themselves() -> None:
    store = Store()
    unwritten = Unwritten(store.write, retry_seconds=0.01)
    unwritten.start()
    unwritten.add(["a"])
    store.full = False
    until(lambda: not unwritten.keys, what="the store has taken it")
    unwritten.add(["b"])
    until(lambda: store.written == ["a", "b"], what="the store has taken the next one too")
    unwritten.stop()
