"""Batches that come close behind one another are one transaction; each is answered for itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from maas_api.keys.budget import Budget
from maas_api.store.database import Database
from maas_api.usage.intake import together
from maas_api.usage.intake.batch import Intake, Taken
from maas_api.usage.intake.messages import Failed
from maas_api.usage.intake.together import MANY, Together
from maas_api.usage.query import Query
from maas_api.usage.record import Counts
from maas_api.usage.rollup import Folded
from maas_api.usage.statements.holds import Bank, generation_of, state_of
from maas_api.usage.statements.ledger import Ledger
from maas_api.usage.statements.reading import Reading
from tests.support.otlp import batch, call
from tests.support.postgres import PostgresServer
from tests.support.wait import until

TENANT = "models-as-a-service"


class Watched(Intake):
    """How many batches each transaction had."""

    sizes: list[int]

    def store(self, some: Sequence[Folded]) -> list[Taken]:
        self.sizes.append(len(some))
        return super().store(some)


@pytest.fixture
def intake(database: Database) -> Watched:
    made = Watched(Ledger(database, TENANT))
    made.sizes = []
    return made


class Storing:
    """What is told of each batch."""

    def __init__(self, intake: Watched) -> None:
        self._intake = intake
        self._answers: dict[int, Taken | Failed] = {}
        self._made = Together(intake, self._answers.__setitem__)
        self.stop = self._made.stop

    def put(self, number: int, body: bytes = b"", *, records: int = 1) -> None:
        """These bytes, or so many calls."""
        self.put_read(number, self._intake.read(body or batch([call(user=f"user-{number}")] * records)))

    def put_read(self, number: int, read: Folded) -> None:
        self._made.put(number, read)

    def put_enough(self) -> None:
        """A batch that is not waited behind, stored with those before it."""
        self._answers.pop(99, None)
        self.put(99, records=MANY)
        self.wait_for(99)

    def wait_for(self, number: int) -> None:
        until(lambda: number in self._answers, what=f"batch {number} is answered")

    def told(self) -> list[int]:
        return sorted(self._answers)

    def failed(self) -> list[int]:
        return sorted(number for number, answer in self._answers.items() if isinstance(answer, Failed))

    def taken(self, number: int) -> Taken:
        answer = self._answers[number]
        assert isinstance(answer, Taken)
        return answer


@pytest.fixture
def storing(intake: Watched, monkeypatch: pytest.MonkeyPatch) -> Iterator[Storing]:
    """One that comes alone was stored at once, as 0; what comes now is gathered."""
    monkeypatch.setattr(together, "GATHER_SECONDS", 60)
    made = Storing(intake)
    made.put(0)
    made.wait_for(0)
    yield made
    made.stop()


def counted(database: Database, *users: str) -> int:
    now = datetime.now(UTC)
    query = Query(now - timedelta(days=1), now + timedelta(days=1), "total", (), {"user": users} if users else {})
    return sum(row.counts.requests for row in Reading(database, TENANT).sums(query))


def test_those_that_come_behind_it_are_one_transaction(storing: Storing, intake: Watched, database: Database) -> None:
    for number in range(1, 4):
        storing.put(number, records=number)
    assert storing.told() == [0]
    storing.put_enough()
    assert intake.sizes == [1, 4]
    told = [storing.taken(number) for number in range(4)]
    assert [(one.counted, one.repeated, one.tallies["gold", "gpt-4o-mini"].metered) for one in told] == [
        (1, False, 1),
        (1, False, 1),
        (2, False, 2),
        (3, False, 3),
    ]
    assert counted(database) == 7 + MANY
    assert counted(database, "user-3") == 3


def test_one_of_them_that_was_counted_before_is_not_again(
    storing: Storing, intake: Watched, database: Database
) -> None:
    before, twice = batch([call(user="before")]), batch([call(user="twice")])
    intake.take(before)
    intake.sizes.clear()
    for number, body in enumerate((before, twice, twice, batch([call(user="new")])), 1):
        storing.put(number, body)
    storing.put_enough()
    assert intake.sizes == [5]
    assert [storing.taken(number).repeated for number in range(1, 5)] == [True, False, True, False]
    assert [counted(database, user) for user in ("before", "twice", "new")] == [1, 1, 1]


def test_calls_without_a_time_are_counted_each_time(storing: Storing, database: Database) -> None:
    """Two batches of the same bytes may be two batches then."""
    same = batch([call(user="same")], at=0)
    storing.put(1, same)
    storing.put(2, same)
    storing.put_enough()
    assert counted(database, "same") == 2


def test_what_is_held_for_calls_of_several_is_settled_once(storing: Storing, database: Database) -> None:
    budget, now = Budget(10_000, "day"), datetime.now(UTC)
    given = Bank(database).lease("key-1", budget, 100, 100, now).amount
    holds = [
        batch([call(held=f"7.{generation_of(now)}.0", usage={"prompt_tokens": tokens, "completion_tokens": 0})])
        for tokens in (30, 40)
    ]
    for number, body in enumerate((*holds, holds[0]), 1):
        storing.put(number, body)
    storing.stop()
    state = state_of(database, "key-1", budget, now)
    assert (state.used, state.held) == (70, given - 14)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_one_that_cannot_be_stored_does_not_fail_the_others(
    storing: Storing, intake: Watched, database: Database
) -> None:
    good = batch([call(user="good")])
    (place,) = intake.read(good).rows
    storing.put(1, good)
    storing.put_read(2, Folded({place: Counts(requests=2**63 - 1)}, 1, 0, ""))  # no sum holds that
    storing.put(3, batch([call(user="good")]))
    storing.stop()
    assert storing.told() == [0, 1, 2, 3]
    assert storing.failed() == [2]
    assert counted(database, "good") == 2


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_while_the_store_is_away_each_is_told_and_it_is_asked_once(
    storing: Storing, intake: Watched, postgres: PostgresServer
) -> None:
    intake.sizes.clear()
    for number in (1, 2):
        storing.put(number)
    postgres.halt()
    try:
        storing.put_enough()
    finally:
        postgres.run()
    assert storing.failed() == [1, 2, 99]
    assert intake.sizes == [3]
    storing.put_enough()
    assert storing.failed() == [1, 2]


def test_in_the_end_what_waits_is_stored_at_once(storing: Storing, intake: Watched) -> None:
    for number in (1, 2):
        storing.put(number)
    storing.stop()
    assert storing.told() == [0, 1, 2]
    assert storing.failed() == []
    assert intake.sizes == [1, 2]
