"""Usage taken in by a process of its own: what it takes over, and what comes of its end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import httpx
import psutil
import pytest

from maas_api.keys.budget import Budget
from maas_api.models.price import Price
from maas_api.store.database import Database, open_database
from maas_api.usage.http.ingest import PATH
from maas_api.usage.intake import apart
from maas_api.usage.intake.apart import Apart
from maas_api.usage.intake.batch import Intake, NotStoredError, Taken
from maas_api.usage.intake.here import WAITING_MAX, Here
from maas_api.usage.intake.messages import Order
from maas_api.usage.otlp import OtlpError
from maas_api.usage.prices import PriceBook
from maas_api.usage.query import Query
from maas_api.usage.statements.holds import Bank, generation_of, state_of
from maas_api.usage.statements.ledger import Ledger
from maas_api.usage.statements.reading import Reading
from tests.support import otlp
from tests.support.otlp import batch, call
from tests.support.postgres import PostgresServer
from tests.support.process import Running, running
from tests.support.wait import until

TENANT = "models-as-a-service"
PRICE = Price(Decimal("2"), Decimal("8"), Decimal("1"), Decimal("2"), "USD", date(2026, 1, 1))
_SECRET = "of the gateway"
_PATIENT = 60


class NotHere(Here):
    """What the process does not take in is told as such."""

    def submit(self, body: bytes, encoding: str = "") -> Future[Taken]:
        raise LookupError("not ready")


class Books:
    """Prices that the test changes."""

    def __init__(self) -> None:
        self.book = PriceBook({})

    def __call__(self) -> PriceBook:
        return self.book


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[Database]:
    made = open_database(postgres.migrated())
    yield made
    made.stop()


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
def elsewhere(database: Database, books: Books) -> Iterator[Apart]:
    """It is ready, and has taken in a call of ann's."""
    order = Order(database.url, TENANT, False)
    made = Apart(order, NotHere(Intake(Ledger(database, TENANT))), books)
    try:
        eventually(lambda: _ready(made), what="the process is ready")
        yield made
    finally:
        made.stop()


def eventually(condition: Callable[[], object], *, what: str) -> None:
    """For what waits for the process, which on a busy machine gets what processor the others leave."""
    until(condition, what=what, seconds=_PATIENT)


def take(taking: Apart, body: bytes, encoding: str = "") -> Taken:
    return taking.submit(body, encoding).result(_PATIENT)


def _ready(taking: Apart) -> bool:
    try:
        return take(taking, batch([call()])).counted == 1
    except LookupError:
        return False


def _children(of: int, name: str = "usage.intake.child") -> list[psutil.Process]:
    return [found for found in psutil.Process(of).children(recursive=True) if name in " ".join(_command(found))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _counted(database: Database) -> int:
    now = datetime.now(UTC)
    rows = Reading(database, TENANT).sums(Query(now - timedelta(days=1), now + timedelta(days=1), "total"))
    return sum(row.counts.requests for row in rows)


def test_what_it_takes_in_is_stored_and_tallied(elsewhere: Apart, database: Database) -> None:
    taken = take(elsewhere, batch([call(user="ben"), call(user="ben", status=500), call(user=None, key_id=None)]))
    assert (taken.counted, taken.skipped, taken.repeated) == (2, 1, False)
    assert {place: tally[:3] for place, tally in taken.tallies.items()} == {("gold", "gpt-4o-mini"): (1, 0, 1)}
    assert _counted(database) == 3


def test_a_batch_that_comes_twice_is_counted_once(elsewhere: Apart, database: Database) -> None:
    body = batch([call()])
    assert [take(elsewhere, body).repeated for _ in range(2)] == [False, True]
    assert _counted(database) == 2


def test_what_is_no_batch_is_told_by_its_rule(elsewhere: Apart) -> None:
    with pytest.raises(OtlpError, match="binary protobuf"):
        take(elsewhere, b"\xff\xff")
    with pytest.raises(OtlpError, match="not gzip"):
        take(elsewhere, batch([call()]), "gzip")


def test_prices_follow(elsewhere: Apart, database: Database, books: Books) -> None:
    """A budget in money is spent by what the call costs now."""
    budget, now = Budget(10**9, "day", "USD"), datetime.now(UTC)
    Bank(database).lease("key-1", budget, 100, 100, now)
    spent = []
    for book in (PriceBook({}), PriceBook({"gpt-4o-mini": [PRICE]}), PriceBook({})):
        books.book = book
        take(elsewhere, batch([call(held=f"0.{generation_of(now)}.7", usage={"prompt_tokens": 1000})]))
        spent.append(state_of(database, "key-1", budget, now).used)
    assert spent == [7, 7 + 2_000_000, 7 + 2_000_000 + 7]  # what is not known is what was held


def test_a_store_that_fails_is_told(elsewhere: Apart, database: Database) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE maas_usage RENAME TO gone")
    with pytest.raises(NotStoredError, match="ProgrammingError"):
        take(elsewhere, batch([call()]))


def test_behind_a_batch_that_waits_for_a_processor_the_worker_takes_them_in(
    elsewhere: Apart, monkeypatch: pytest.MonkeyPatch
) -> None:
    (child,) = _children(psutil.Process().pid)
    child.suspend()
    waits = elsewhere.submit(batch([call()]))
    monkeypatch.setattr(apart, "LATE_SECONDS", 0)
    with pytest.raises(LookupError):
        take(elsewhere, batch([call()]))
    child.resume()
    assert waits.result(_PATIENT).counted == 1
    assert take(elsewhere, batch([call()])).counted == 1


def test_one_that_does_not_answer_is_ended(elsewhere: Apart, monkeypatch: pytest.MonkeyPatch) -> None:
    (child,) = _children(psutil.Process().pid)
    child.suspend()
    waits = elsewhere.submit(batch([call()]))
    monkeypatch.setattr(apart, "LATE_SECONDS", 0)
    monkeypatch.setattr(apart, "ANSWER_SECONDS", 0)
    with pytest.raises(LookupError):
        take(elsewhere, batch([call()]))
    with pytest.raises(NotStoredError, match="has ended"):
        waits.result(_PATIENT)
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, what="it is gone")


def test_so_many_wait_and_no_more(database: Database) -> None:
    """While the store is away, what comes is not heaped up."""
    begin = threading.Event()

    class Slow(Intake):
        def take(self, body: bytes, encoding: str = "") -> Taken:
            assert begin.wait(20)
            return super().take(body, encoding)

    here = Here(Slow(Ledger(database, TENANT)))
    waiting = [here.submit(batch([call()])) for _ in range(WAITING_MAX)]
    with pytest.raises(NotStoredError, match="too many"):
        here.submit(batch([call()])).result(0)
    begin.set()
    assert {answer.result(20).counted for answer in waiting} == {1}
    assert here.submit(batch([call()])).result(20).counted == 1
    here.stop()
    with pytest.raises(NotStoredError, match="stopping"):
        here.submit(batch([call()])).result(0)


def test_its_end_is_told_to_who_waits_and_a_later_batch_starts_another(elsewhere: Apart, database: Database) -> None:
    (child,) = _children(psutil.Process().pid)
    child.suspend()
    waits = elsewhere.submit(batch([call(user="ben")]))
    child.kill()
    with pytest.raises(NotStoredError, match="has ended"):
        waits.result(_PATIENT)
    eventually(lambda: _ready(elsewhere), what="another one is ready")
    (other,) = _children(psutil.Process().pid)
    assert other.pid != child.pid
    assert _counted(database) == 2


def test_it_ends_with_what_started_it(elsewhere: Apart) -> None:
    (child,) = _children(psutil.Process().pid)
    elsewhere.stop()
    assert not child.is_running()
    elsewhere.stop()


@pytest.fixture(scope="module")
def service(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("apart")
    (folder / "secret").write_text(_SECRET)
    flags = ("--workers", "1", "--database-url", postgres.migrated(), "--internal-secret-file", str(folder / "secret"))
    with running(folder, *flags) as made:
        yield made


def _posted(service: Running) -> int:
    headers = {**otlp.HEADERS, "X-MaaS-Internal-Secret": _SECRET}
    body = batch([call()], at=time.time())
    return httpx.post(service.url + PATH, content=body, headers=headers, timeout=20, trust_env=False).status_code


def test_the_first_batch_starts_it_and_the_first_that_it_can_take_it_does(service: Running) -> None:
    assert _children(service.process.pid) == []
    assert _posted(service) == 200
    (child,) = _children(service.process.pid)
    assert "postgresql" not in " ".join(child.cmdline())
    eventually(lambda: os.sched_getscheduler(child.pid) == os.SCHED_IDLE, what="it gives way to everything else")
    # It connects to the store once it has been sent something.
    eventually(lambda: _posted(service) == 200 and child.net_connections("tcp"), what="it takes batches in")


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_its_worker(service: Running, ending: signal.Signals) -> None:
    assert _posted(service) == 200
    (child,) = _children(service.process.pid)
    (worker,) = service.workers()
    psutil.Process(worker).send_signal(ending)
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, what="it has ended too")
    eventually(lambda: service.workers() not in ([], [worker]), what="another worker serves")
    eventually(lambda: _reached(service), what="it answers")


def _reached(service: Running) -> bool:
    try:
        return _posted(service) == 200
    except httpx.TransportError:
        return False
