"""The parts of the keys domain, put together for one worker process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint
from sqlalchemy.pool import QueuePool

from maas_api.config import Settings
from maas_api.identity.admin import AdminCheck
from maas_api.keys import fleet_views, views
from maas_api.keys.audit import Audit, AuditLog
from maas_api.keys.bookkeeping import Bookkeeping
from maas_api.keys.cache import VerdictCache
from maas_api.keys.database import Database, lookup_database, open_database
from maas_api.keys.feeds import Feed, PostgresFeed, SqliteFeed
from maas_api.keys.fleet import KeyFleet
from maas_api.keys.ledger import KeyLedger
from maas_api.keys.lookup import Lookup
from maas_api.keys.policy import Life
from maas_api.keys.reader import KeyReader
from maas_api.keys.service import KeyService, SubscriptionResolver
from maas_api.keys.store import KeyStore
from maas_api.keys.trust import Trust
from maas_api.keys.validation import Validation
from maas_api.lifecycle import Background
from maas_api.observability import metrics
from maas_api.observability.logs import user_hash

_STATEMENT_SHARE = 0.8  # of the deadline: what is left is for giving up in time


@dataclass(frozen=True)
class Keys:
    """What the composition root needs of the domain."""

    service: KeyService
    validation: Validation
    blueprints: Sequence[Blueprint]
    background: Sequence[Background]


def open_store(settings: Settings, url: str) -> Database:
    """The store as these settings say. ``url`` is the resolved database URL."""
    return open_database(
        url,
        max_open=settings.db_max_open_conns,
        max_idle=settings.db_max_idle_conns,
        max_lifetime=settings.db_conn_max_lifetime_seconds,
    )


def key_service(
    settings: Settings, store: KeyStore, subscriptions: SubscriptionResolver, admins: AdminCheck, audit: Audit
) -> KeyService:
    """The service over a store; the command line uses it without the rest."""
    return KeyService(
        store,
        subscriptions,
        admins,
        audit,
        Life(settings.api_key_max_expiration_days),
        settings.rotation_grace_max_seconds,
    )


def build(settings: Settings, url: str, subscriptions: SubscriptionResolver, admins: AdminCheck) -> Keys:
    """Everything that mints, validates and changes keys. Connects to nothing until started or used."""
    cache = VerdictCache(settings.validation_cache_size)
    store = KeyStore(open_store(settings, url), settings.tenant_name, on_change=cache.forget)
    bookkeeping = Bookkeeping(
        KeyLedger(store),
        debounce_seconds=settings.last_used_debounce_seconds,
        flush_seconds=settings.last_used_flush_seconds,
    )
    _measure(cache, store.database, settings.db_max_open_conns)
    deadline = settings.validation_deadline_ms / 1_000
    reader = KeyReader(
        lookup_database(url, deadline * _STATEMENT_SHARE), settings.tenant_name, on_expired=bookkeeping.expired
    )
    feed: Feed = (
        PostgresFeed(store.database.url, cache)
        if store.database.postgres
        else SqliteFeed(Path(store.database.url.removeprefix("sqlite:///")), cache)
    )
    validation = Validation(
        cache,
        Lookup(reader, cache),
        feed,
        bookkeeping,
        Trust(
            unheard=settings.validation_trust_seconds,
            max_age=settings.validation_max_age_seconds,
            grace=settings.validation_grace_seconds,
        ),
        deadline=deadline,
    )
    audit = AuditLog(settings.tenant_name, user_hash)
    service = key_service(settings, store, subscriptions, admins, audit)
    fleet = KeyFleet(store, admins, audit)
    return Keys(
        service,
        validation,
        (views.blueprint(service), fleet_views.blueprint(fleet)),
        (store.database, bookkeeping, validation),
    )


def _measure(cache: VerdictCache, database: Database, limit: int) -> None:
    """Let the gauges read what is theirs."""
    metrics.cache_entries.read_from(lambda: len(cache))
    pool = database.engine.pool
    if isinstance(pool, QueuePool):
        metrics.pool_connections.labels("in_use").read_from(pool.checkedout)
        metrics.pool_connections.labels("idle").read_from(pool.checkedin)
        metrics.pool_limit.set(limit)
