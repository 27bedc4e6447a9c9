"""Last uses and found expiries: noted rarely, written in batches, kept when the store is down."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from maas_api.validation.bookkeeping import Bookkeeping
from tests.support.wait import until


class Ledger:
    def __init__(self) -> None:
        self.uses: list[dict[str, datetime]] = []
        self.expired: list[set[str]] = []
        self.fault: Exception | None = None

    def record_uses(self, uses: dict[str, datetime]) -> None:
        if self.fault is not None:
            raise self.fault
        self.uses.append(uses)

    def record_expired(self, key_ids: set[str]) -> None:
        if self.fault is not None:
            raise self.fault
        self.expired.append(key_ids)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def at(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def book(ledger: Ledger, clock: Clock, debounce: float = 60) -> Bookkeeping:
    return Bookkeeping(ledger, debounce_seconds=debounce, flush_seconds=3600, clock=clock)


def test_many_uses_within_the_window_are_one_note(ledger: Ledger, clock: Clock) -> None:
    notes = book(ledger, clock)
    for _ in range(100):
        notes.used("a")
        clock.now += 0.1
    notes.flush()
    notes.used("a")
    notes.flush()
    assert ledger.uses == [{"a": at(1_000_000.0)}]
    clock.now += 60
    notes.used("a")
    notes.flush()
    assert len(ledger.uses) == 2


def test_without_a_window_every_flush_has_the_latest_use(ledger: Ledger, clock: Clock) -> None:
    notes = book(ledger, clock, debounce=0)
    notes.used("a")
    clock.now += 1
    notes.used("a")
    notes.flush()
    assert ledger.uses == [{"a": at(1_000_001.0)}]


def test_a_flush_that_fails_keeps_its_notes_and_a_later_use_wins(ledger: Ledger, clock: Clock) -> None:
    notes = book(ledger, clock, debounce=0)
    notes.used("a")
    notes.used("b")
    notes.expired("x")
    ledger.fault = OSError("down")
    with pytest.raises(OSError, match="down"):
        notes.flush()
    clock.now += 5
    notes.used("a")
    ledger.fault = None
    notes.flush()
    assert ledger.uses == [{"a": at(1_000_005.0), "b": at(1_000_000.0)}]
    assert ledger.expired == [{"x"}]


def test_nothing_noted_means_nothing_written(ledger: Ledger, clock: Clock) -> None:
    book(ledger, clock).flush()
    assert (ledger.uses, ledger.expired) == ([], [])


def test_what_is_left_is_written_when_stopped(ledger: Ledger, clock: Clock) -> None:
    notes = book(ledger, clock)
    notes.start()
    notes.used("a")
    notes.stop()
    assert [set(batch) for batch in ledger.uses] == [{"a"}]
    notes.stop()


def test_a_thread_that_met_a_fault_goes_on(ledger: Ledger, clock: Clock) -> None:
    notes = Bookkeeping(ledger, debounce_seconds=0, flush_seconds=0.01, clock=clock)
    ledger.fault = OSError("down")
    notes.start()
    notes.used("a")
    until(lambda: notes._thread is not None and notes._thread.is_alive(), what="the thread runs")
    ledger.fault = None
    until(lambda: ledger.uses, what="the use was written")
    notes.stop()
