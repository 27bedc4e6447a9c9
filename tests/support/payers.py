"""Callers that spend budgets: workers over one store, what they are asked, and the usage that arrives."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

from maas_api.keys.budget import Budgets
from maas_api.models.price import Price
from maas_api.store.database import Database
from maas_api.usage.budgets.claims import Payer
from maas_api.usage.budgets.decisions import Decision, Granted
from maas_api.usage.budgets.spending import Spending
from maas_api.usage.otlp import Entry
from maas_api.usage.prices import PriceBook
from maas_api.usage.record import HELD
from maas_api.usage.rollup import fold
from maas_api.usage.statements.holds import Bank
from maas_api.usage.statements.ledger import Ledger
from tests.support.clock import Clock
from tests.support.otlp import call
from tests.support.started import started

TENANT = "models-as-a-service"
HOLD = 1_000
PRICE = Price(Decimal("2"), Decimal("8"), Decimal("1"), Decimal("2"), "USD", date(2026, 1, 1))
NOTHING = Price(*[Decimal(0)] * 4, "USD", date(2026, 1, 1))
BOOK = PriceBook({"gpt-4o-mini": [PRICE], "free": [NOTHING]})
PAYER = Payer("key-1", (), "ann", "gold", "gpt-4o-mini")


def workers(
    database: Database, clock: Clock, count: int = 1, **options: int
) -> AbstractContextManager[Sequence[Spending]]:
    """That many, running."""
    return started(
        [Spending(Bank(database), hold=HOLD, prices=lambda: BOOK, now=clock, **options) for _ in range(count)]
    )


def ask(worker: Spending, budgets: Budgets, **payer: Any) -> Decision:
    found = worker.check(replace(PAYER, budgets=budgets, **payer))
    return found.result(20) if isinstance(found, Future) else found


def spend(
    database: Database, clock: Clock, granted: Granted, tokens: int | None, *, number: int = 0, **of: Any
) -> None:
    """The call's usage arrives; None: it does not say what it took."""
    said = {HELD.removeprefix("maas."): str(granted.hold), "user": PAYER.user, "model": PAYER.model, **of}
    usage = {} if tokens is None else {"prompt_tokens": tokens, "completion_tokens": 0}
    at = int(clock.now.timestamp() * 1e9)
    seen = str((number, time.monotonic_ns())).encode()
    batch = fold([Entry(at, call(**said, usage=usage))], seen, at / 1e9, BOOK)
    assert Ledger(database, TENANT, now=clock).add(batch)


def held(decided: Decision) -> int:
    assert isinstance(decided, Granted)
    assert decided.hold is not None
    return decided.hold.tokens
