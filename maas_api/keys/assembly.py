"""The parts of the keys domain, put together for one worker process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from flask import Blueprint
from sqlalchemy.pool import QueuePool

from maas_api.audit import assembly as audit
from maas_api.config import ConfigError, Settings
from maas_api.identity.admin import AdminCheck
from maas_api.keys.budget import BudgetError, Budgets, currencies, from_text
from maas_api.keys.fleet import KeyFleet
from maas_api.keys.http import fleet_views, minting, views
from maas_api.keys.http.minting import Unmatched, all_match
from maas_api.keys.policy import Life, Spending
from maas_api.keys.service import KeyService, SubscriptionResolver
from maas_api.keys.statements.caps import Caps
from maas_api.keys.statements.store import KeyStore, id_of
from maas_api.lifecycle import Background
from maas_api.observability import metrics
from maas_api.store.assembly import open_store
from maas_api.store.database import Database
from maas_api.wire import FastRoute


@dataclass(frozen=True)
class Keys:
    """What the composition root needs of the domain."""

    store: KeyStore
    service: KeyService
    fleet: KeyFleet
    mint: FastRoute
    blueprints: Sequence[Blueprint]
    background: Sequence[Background]


def key_service(
    settings: Settings,
    store: KeyStore,
    subscriptions: SubscriptionResolver,
    admins: AdminCheck,
    caps: Caps | None = None,
) -> KeyService:
    """The service over a store; the command line uses it without the rest, and without caps."""
    return KeyService(
        store,
        subscriptions,
        admins,
        Life(settings.api_key_max_expiration_days),
        settings.rotation_grace_max_seconds,
        _spending(settings),
        caps or Caps(),
    )


def build(
    settings: Settings,
    url: str,
    subscriptions: SubscriptionResolver,
    admins: AdminCheck,
    unmatched: Unmatched = all_match,
) -> Keys:
    """Everything that mints and changes keys. Connects to nothing until started or used."""
    store = KeyStore(
        open_store(settings, url),
        settings.tenant_name,
        journal=audit.journal(settings, partial(id_of, settings.tenant_name)),
    )
    _measure(store.database, settings.db_max_open_conns)
    caps = Caps(settings.api_key_max_per_user, settings.api_key_mints_per_minute)
    service = key_service(settings, store, subscriptions, admins, caps)
    fleet = KeyFleet(store, admins)
    mint = minting.route(service, ignore_unknown=settings.mint_unknown_fields == "ignore", unmatched=unmatched)
    blueprints = views.blueprint(service), fleet_views.blueprint(fleet)
    return Keys(store, service, fleet, mint, blueprints, (store.database,))


def _measure(database: Database, limit: int) -> None:
    """Let the gauges read the pool."""
    pool = database.engine.pool
    if isinstance(pool, QueuePool):
        metrics.pool_connections.labels("in_use").read_from(pool.checkedout)
        metrics.pool_connections.labels("idle").read_from(pool.checkedin)
        metrics.pool_limit.set(limit)


def _spending(settings: Settings) -> Spending:
    default = _budgets(settings.default_budget, "--default-budget (DEFAULT_BUDGET)")
    caps = _budgets(settings.max_budget, "--max-budget (MAX_BUDGET)")
    if len(used := currencies((*default, *caps))) > 1:
        raise ConfigError(
            f"--default-budget (DEFAULT_BUDGET) and --max-budget (MAX_BUDGET): must be in one currency, "
            f"got {' and '.join(used)}"
        )
    return Spending(default, caps)


def _budgets(text: str, source: str) -> Budgets:
    try:
        return from_text(text)
    except BudgetError as fault:
        raise ConfigError(f"{source}: {fault}") from None
