"""The hot path, put together for one worker process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maas_api.config import Settings
from maas_api.keys.statements import bulk
from maas_api.keys.statements.store import KeyStore
from maas_api.lifecycle import Background
from maas_api.observability import metrics
from maas_api.store.database import Database, lookup_database
from maas_api.validation.bookkeeping import Bookkeeping
from maas_api.validation.cache import VerdictCache
from maas_api.validation.changes import Changes, PostgresChanges, SqliteChanges
from maas_api.validation.ledger import KeyLedger
from maas_api.validation.lookup import Lookup
from maas_api.validation.owners import Owners, Rosters
from maas_api.validation.reader import KeyReader
from maas_api.validation.siblings import Siblings
from maas_api.validation.trust import Trust
from maas_api.validation.unwritten import Unwritten
from maas_api.validation.validation import Validation

_STATEMENT_SHARE = 0.8  # of the deadline: what is left is for giving up in time


@dataclass(frozen=True)
class Assembled:
    """What the composition root needs of the hot path."""

    validation: Validation
    background: Sequence[Background]


def build(
    settings: Settings, url: str, store: KeyStore, shared: Path | None = None, rosters: Rosters | None = None
) -> Assembled:
    """Validation over the keys of a store, told of each change that ``store`` makes. ``url`` is the store's.

    ``shared`` is a private folder of this instance's workers, by which they tell each other; None where there is one.
    ``rosters`` says which groups the keys' owners are in; None where keys keep those they were minted with.

    Connects to nothing until started or used.
    """
    cache = VerdictCache(settings.validation_cache_size)
    metrics.cache_entries.read_from(lambda: len(cache))
    unwritten = Unwritten(lambda key_ids: bulk.revoke_these(store, key_ids))
    siblings = Siblings(shared, {"changed": cache.forget, "unwritten": unwritten.add})
    store.tell(siblings.telling("changed"), unwritten=siblings.telling("unwritten"))
    bookkeeping = Bookkeeping(
        KeyLedger(store),
        debounce_seconds=settings.last_used_debounce_seconds,
        flush_seconds=settings.last_used_flush_seconds,
    )
    deadline = settings.validation_deadline_ms / 1_000
    reader = KeyReader(
        lookup_database(url, deadline * _STATEMENT_SHARE), settings.tenant_name, on_expired=bookkeeping.expired
    )
    validation = Validation(
        cache,
        Lookup(reader, cache, deadline=deadline),
        _changes(store.database, cache),
        bookkeeping,
        Trust(
            unheard=settings.validation_trust_seconds,
            max_age=settings.validation_max_age_seconds,
            grace=settings.validation_grace_seconds,
        ),
        unwritten,
        None if rosters is None else Owners(rosters, max(settings.validation_cache_size, 1)),
        deadline=deadline,
    )
    return Assembled(validation, (bookkeeping, unwritten, siblings, validation))


def _changes(database: Database, cache: VerdictCache) -> Changes:
    if database.postgres:
        return PostgresChanges(database.url, cache)
    return SqliteChanges(Path(database.url.removeprefix("sqlite:///")), cache)
