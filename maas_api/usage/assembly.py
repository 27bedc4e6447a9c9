"""The parts of usage, put together for one worker process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from flask import Blueprint

from maas_api.config import Settings
from maas_api.identity.admin import AdminCheck, StaticAdmins
from maas_api.keys.statements.store import KeyStore
from maas_api.lifecycle import Background
from maas_api.store.database import Database
from maas_api.store.keeper import Keeper
from maas_api.usage.budgets.spending import Spending
from maas_api.usage.http import ingest, views
from maas_api.usage.intake.apart import Apart
from maas_api.usage.intake.batch import Intake
from maas_api.usage.intake.here import Here
from maas_api.usage.intake.messages import Order
from maas_api.usage.own_key import OwnKey
from maas_api.usage.pricelist import Prices, no_models
from maas_api.usage.prices import PriceBook
from maas_api.usage.readers import KeyCheck, Presented
from maas_api.usage.service import UsageService
from maas_api.usage.statements.holds import Bank, state_of
from maas_api.usage.statements.ledger import Ledger
from maas_api.usage.statements.reading import Reading
from maas_api.wire import FastRoute


@dataclass(frozen=True)
class Assembled:
    """What the composition root needs of the room."""

    blueprints: Sequence[Blueprint]
    ingest: FastRoute
    background: Sequence[Background]
    spending: Spending
    service: UsageService
    own_key: OwnKey


def build(
    settings: Settings, store: KeyStore, admins: AdminCheck, prices: Callable[[], PriceBook], keys: KeyCheck
) -> Assembled:
    """Usage over the store that the keys are in. Connects to nothing until started or used."""
    keep = settings.budget_unreported == "spend"
    ledger = Ledger(store.database, settings.tenant_name, keep=keep, now=store.now)
    here = Here(Intake(ledger, prices))
    apart = None
    if store.database.postgres:  # an embedded file has one writer at a time, and one process more would wait for it
        apart = Apart(Order(store.database.url, settings.tenant_name, keep), here, prices)
    service = UsageService(Reading(store.database, settings.tenant_name), store.get, admins, prices, store.now)
    spending = Spending(
        Bank(store.database, keep=keep),
        hold=settings.budget_hold_tokens,
        outage_calls=settings.budget_outage_calls,
        prices=prices,
    )
    presented = Presented(keys)
    own_key = OwnKey(presented, store.get, service, partial(state_of, store.database, keep=keep))
    return Assembled(
        (views.blueprint(service, own_key, presented),),
        ingest.route(apart or here),
        (
            Keeper("usage", ledger.forget, ledger.now, settings.usage_retention_days),
            spending,
            here,
            *(() if apart is None else (apart,)),
        ),
        spending,
        service,
        own_key,
    )


def operator_service(settings: Settings, database: Database) -> UsageService:
    """Reading for an operator with access to the database, without the rest."""
    store = KeyStore(database, settings.tenant_name)
    return UsageService(
        Reading(database, settings.tenant_name),
        store.get,
        StaticAdmins((), ()),
        Prices(no_models, settings.prices_file),
        store.now,
    )
