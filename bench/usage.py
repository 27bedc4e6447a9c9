"""What metering costs: records taken a second, validations meanwhile, the authorizer with budgets, questions asked."""

from __future__ import annotations

import http.client
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path

from bench.load import Load, need_wrk, posts
from bench.sender import made, post, sender
from bench.services import VALIDATE, Running, ceiling, maas
from bench.stores import fill, postgres
from maas_api.gateway.authorizer import PREFIX, Authorizer
from maas_api.gateway.judgement import Passed
from maas_api.identity.admin import StaticAdmins
from maas_api.identity.tokens import NoTokens
from maas_api.keys.budget import Budget, Budgets
from maas_api.models.price import Price
from maas_api.store.database import Database, open_database
from maas_api.usage.budgets.spending import Spending
from maas_api.usage.prices import PriceBook
from maas_api.usage.query import Query
from maas_api.usage.service import UsageService
from maas_api.usage.statements.holds import Bank
from maas_api.usage.statements.reading import Reading
from maas_api.validation.verdict import Verdict, accepted
from maas_api.wire import Pending, Request
from tests.support import usage_rows
from tests.support.postgres import PostgresServer

_SECRET = "bench"
MANIFESTS = Path(__file__).parents[1] / "examples" / "manifests"
_RECORDS = 200  # of a batch: what some hundred kilobytes hold
_ASKED = 9
_PRICE = Price(Decimal("0.15"), Decimal("0.60"), Decimal("0.075"), Decimal("0.15"), "USD", date(2026, 1, 1))
_MONTH = (datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))


def run(*, quick: bool) -> None:
    """Print the numbers."""
    need_wrk()
    seconds = 1.0 if quick else 8.0
    print("\n## Usage")
    with postgres() as server, tempfile.TemporaryDirectory() as folder:
        secret, keys = Path(folder) / "secret", Path(folder) / "keys"
        secret.write_text(_SECRET)
        url = server.migrated()
        fill(url, 5_000, keys, known=500)
        plain = keys.read_text().split()
        with maas(url, workers=1, manifests=MANIFESTS, INTERNAL_SECRET_FILE=str(secret)) as service:
            rate = _ingestion(service, seconds)
            print(f"one worker takes {rate:,.0f} records a second, in batches of {_RECORDS}, PostgreSQL")
            _validations(service, plain, seconds)
            _questions_of_the_gateway(service, seconds)
        _spending(server, quick=quick)
        _questions(server, quick=quick)


def _ingestion(service: Running, seconds: float) -> float:
    """Records a second with four senders."""
    counts = [0] * 4
    # Made before the clock runs: the sender's work is not the server's. Each has a time of its own, so all are new.
    bodies = [[made(turn, _RECORDS, of=number) for turn in range(int(seconds * 40))] for number in range(4)]
    begun = time.monotonic()

    def send(number: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)) as connection:
            for body in bodies[number]:
                assert post(connection, {"X-MaaS-Internal-Secret": _SECRET}, body) == 200
                counts[number] += _RECORDS
                if time.monotonic() - begun > seconds:
                    return

    _together([partial(send, number) for number in range(4)])
    return sum(counts) / (time.monotonic() - begun)


def _validations(service: Running, keys: list[str], seconds: float) -> None:
    """The p99 of validations alone, while a thousand records a second arrive, and while the same arrive at a server
    that only reads them: what is left of the difference is the service's. By turns, so that what else the machine does
    meets every side."""
    _asked(service, keys, 1.0)  # from here on every key is known
    _asked(service, keys, 1.0)
    with ceiling() as nothing, sender({"X-MaaS-Internal-Secret": _SECRET}) as gateway:
        with gateway.sending(service.port, 2.0):  # and the process that takes them in is there
            _asked(service, keys, 2.0)
        spent: dict[str, list[float]] = {"alone": [], "elsewhere": [], "here": []}
        ports = {"elsewhere": nothing.port, "here": service.port}
        for turn in range(max(2, int(seconds))):
            for side in spent if turn % 2 else reversed(spent):
                with gateway.sending(ports[side], 1.5) if side in ports else nullcontext():
                    spent[side] += _asked(service, keys, 1.0)
    p99 = {side: statistics.quantiles(took, n=100)[98] * 1000 for side, took in spent.items()}
    print(
        f"validations: p99 {p99['alone']:.2f} ms alone, {p99['here']:.2f} ms while 1,000 records a second arrive"
        f" ({p99['here'] / p99['alone']:.2f} times), {p99['elsewhere']:.2f} ms while they arrive at a server that only"
        f" reads them ({p99['here'] / p99['elsewhere']:.2f} times that); {len(spent['here']):,} of each asked by turns"
    )


def _asked(service: Running, keys: list[str], seconds: float) -> list[float]:
    """Seconds that each validation took."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    spent = []
    headers = {"X-MaaS-Internal-Secret": _SECRET}
    until = time.monotonic() + seconds
    number = 0
    while time.monotonic() < until:
        body = f'{{"key":"{keys[number % len(keys)]}"}}'
        number += 1
        begun = time.perf_counter()
        connection.request("POST", VALIDATE, body, headers)
        connection.getresponse().read()
        spent.append(time.perf_counter() - begun)
        time.sleep(0.0005)  # a pace that leaves the machine room, so that it is the server's time that is measured
    connection.close()
    return spent[10:]


def _questions_of_the_gateway(service: Running, seconds: float) -> None:
    """What a question takes of the service's processor, over HTTP, for a key without a budget and for one with two."""
    budgets = [None, [{"tokens": 10**15, "per": "day"}, {"tokens": 10**15, "per": "month"}]]
    keys = [_mint(service, budget) for budget in budgets]
    spent: list[list[float]] = [[], []]
    rates: list[list[float]] = [[], []]
    for turn in range(max(3, int(seconds))):
        for side in (0, 1) if turn % 2 else (1, 0):
            _asks(service, keys[side], 1.0)  # a key that calls all the time is what is measured, not its first calls
            before = service.cpu
            found = _asks(service, keys[side], 1.0)
            spent[side].append((service.cpu - before) / found.requests * 1e6)
            rates[side].append(found.rate)
    without, with_two = map(statistics.median, spent)
    print(
        f"a question of the gateway over HTTP takes {without:.0f} µs of the processor without a budget, {with_two:.0f}"
        f" with two ({without / with_two:.2f}); {' and '.join(f'{statistics.median(side):,.0f}' for side in rates)} a"
        f" second ({statistics.median(rates[1]) / statistics.median(rates[0]):.2f})"
    )


def _mint(service: Running, budget: object) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    headers = {"X-MaaS-Username": "ann", "X-MaaS-Group": '["team"]', "Content-Type": "application/json"}
    connection.request("POST", "/v1/api-keys", json.dumps({"name": "bench", "budget": budget}), headers)
    made = json.loads(connection.getresponse().read())
    connection.close()
    return str(made["key"])


def _asks(service: Running, key: str, seconds: float) -> Load:
    """As many questions of a key as are answered in so many seconds."""
    headers = {
        "Authorization": f"Bearer {key}",
        "X-MaaS-Internal-Secret": _SECRET,
        "X-Gateway-Model-Name": "gpt-4o-mini",
    }
    url = f"http://127.0.0.1:{service.port}{PREFIX}/external/openai/v1/chat/completions"
    found = posts(url, headers, seconds=seconds)
    assert not found.failed, found
    return found


def _spending(server: PostgresServer, *, quick: bool) -> None:
    """The authorizer for a key with two budgets and for one without, in turns."""
    database = open_database(server.migrated())
    spending = Spending(Bank(database), hold=1_000)
    spending.start()
    rounds, calls = (3, 300) if quick else (15, 3_000)
    sides = {
        budgets: Authorizer(_OneKey(budgets), NoTokens(), _Open(), spending)  # type: ignore[arg-type]  # a stand-in
        for budgets in ((), (Budget(10**15, "day"), Budget(10**15, "month")))
    }
    spent: dict[Budgets, list[float]] = {budgets: [] for budgets in sides}
    asked = 0
    for _ in range(rounds):
        for budgets, authorizer in sides.items():
            begun = time.perf_counter()
            for _ in range(calls):
                answer = authorizer.route(_QUESTION)
                if isinstance(answer, Pending):
                    asked += 1
                    answer = answer.promise.result(10)
                assert answer.status == 200, answer
            spent[budgets].append(calls / (time.perf_counter() - begun))
    spending.stop()
    database.stop()
    without, with_two = (statistics.median(spent[budgets]) for budgets in sides)
    print(
        f"the authorizer answers {without:,.0f} calls a second without a budget, {with_two:,.0f} with two"
        f" ({with_two / without:.2f}); {asked / rounds / calls:.1%} of those wait for the store"
    )


class _OneKey:
    """Every credential is a key with these budgets."""

    deadline = 1.0

    def __init__(self, budgets: Budgets) -> None:
        self._verdict = accepted(
            key_id="key", key_name="k", username="ann", groups=("team",), subscription="gold", tenant="t",
            models=None, expires_at=None, budgets=budgets,
        )  # fmt: skip

    def check(self, raw_key: str) -> Verdict:
        return self._verdict


class _Open:
    """Every call may be made."""

    def judge(self, call: object, caller: object) -> Passed:
        return Passed("external/openai", "gpt-4o-mini", "openai")


_QUESTION = Request("POST", PREFIX + "/v1/chat/completions", "", ((b"authorization", b"Bearer sk-oai-abc_def"),), b"")


def _questions(server: PostgresServer, *, quick: bool) -> None:
    """A month by day, of a million rows of a year: as the API answers it, its encoding apart."""
    database = open_database(server.migrated(), statement_seconds=None)
    rows = usage_rows.fill(database, 4 if quick else 115)
    book = PriceBook({f"model-{n}": [_PRICE] for n in range(usage_rows.MODELS)})
    plain, priced = (_service(database, PriceBook({})), _service(database, book))
    print(f"of {rows:,} rows, a month by day, PostgreSQL; the best of {_ASKED}, and the CPU of both sides for it:")
    user, key = {"user": ("user-7",)}, {"user": ("user-7",), "key": ("key-307",)}
    for name, query, service in (
        ("one user's", Query(*_MONTH, "day", (), user), plain),
        ("one user's by model", Query(*_MONTH, "day", ("model",), user), plain),
        ("one key's", Query(*_MONTH, "day", (), key), plain),
        ("all of the tenant", Query(*_MONTH), plain),
        ("all of the tenant by user", Query(*_MONTH, "day", ("user",)), plain),
        ("all of the tenant with money", Query(*_MONTH), priced),
    ):
        spent = [_timed(server, partial(service.answer, query)) for _ in range(_ASKED)]
        wall, cpu = (min(column) * 1000 for column in zip(*spent, strict=True))
        print(f"  {name:<30}{wall:6.1f} ms{cpu:8.1f} ms")
    database.stop()


def _service(database: Database, book: PriceBook) -> UsageService:
    reading = Reading(database, usage_rows.TENANT)
    return UsageService(reading, lambda _: None, StaticAdmins((), ()), lambda: book, lambda: _MONTH[1])


def _timed(server: PostgresServer, work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of CPU here and in the server."""
    before, begun = time.process_time() + server.cpu_seconds(), time.perf_counter()
    work()
    return time.perf_counter() - begun, time.process_time() + server.cpu_seconds() - before


def _together(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
