"""Triggers by which the store itself announces what others change in ``api_keys``: the Go service, or a hand in SQL.

On PostgreSQL they are on the Go service's table, so they may neither make a statement of it fail nor stand in the way
of its migrations: PostgreSQL sees no column named in them, so each can be altered, renamed or dropped. A note is one
key's id, as in our own announcements: PostgreSQL delivers equal notes of one transaction once, so ours are not told
twice.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import sqlalchemy as sa

from maas_api.store.announcements import CHANNEL, EVERY_KEY, IDS_AT_MOST, PLAIN_ID
from maas_api.store.database import Database

LOCK_SECONDS = 2.0
"""How long one attempt waits for the table. Writers queue behind it meanwhile."""
_ATTEMPTS = 3
_LOCK_NOT_AVAILABLE = "55P03"

_FUNCTION = "maas_announce_key"
_BODY = f"""
DECLARE
    key_id text;
    told integer := coalesce(nullif(pg_catalog.current_setting('maas_api.told', true), '')::integer, 0);
BEGIN
    IF TG_OP = 'UPDATE' THEN
        BEGIN  -- every validation ends in a new last use, which is no change of the key
            NEW.last_used_at := OLD.last_used_at;
            IF OLD *= NEW THEN
                RETURN NULL;
            END IF;
        EXCEPTION WHEN OTHERS THEN  -- there is no such column any more: better too many notes than none
        END;
    END IF;
    IF TG_OP <> 'TRUNCATE' AND told < {IDS_AT_MOST} THEN
        key_id := pg_catalog.to_jsonb(OLD) ->> 'id';
        PERFORM pg_catalog.set_config('maas_api.told', (told + 1)::text, true);
    END IF;
    IF key_id ~ '^{PLAIN_ID}$' THEN
        PERFORM pg_catalog.pg_notify('{CHANNEL}', key_id);
    ELSE
        PERFORM pg_catalog.pg_notify('{CHANNEL}', '{EVERY_KEY}');
    END IF;
    RETURN NULL;
END
"""
_TRIGGERS = {
    "maas_announce_key": "AFTER UPDATE OR DELETE ON api_keys FOR EACH ROW",
    "maas_announce_truncation": "AFTER TRUNCATE ON api_keys FOR EACH STATEMENT",
}
FOUND = (
    "SELECT json_object_agg(t.tgname, p.prosrc) FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
    " WHERE t.tgrelid = to_regclass('api_keys') AND NOT t.tgisinternal"
)
"""Finds the triggers on the table and what each runs, as an object; null where there is none."""

_NOW = "strftime('%Y-%m-%d %H:%M:%f', 'now') || '000'"
_NOTE = f"BEGIN INSERT INTO maas_key_changes (key_id, changed_at) VALUES (OLD.id, {_NOW}); END"  # noqa: S608 -- all ours
SQLITE = (
    "CREATE TRIGGER maas_key_changed AFTER UPDATE OF id, username, name, key_hash, status, user_groups, expires_at,"
    f" subscription, tenant, labels ON api_keys {_NOTE}",
    f"CREATE TRIGGER maas_key_deleted AFTER DELETE ON api_keys {_NOTE}",
)
"""The same in the embedded store, where a change is found as a row of ``maas_key_changes``."""

_log = logging.getLogger(__name__)


def ensure(database: Database) -> None:
    """Have the triggers on PostgreSQL; each start looks. Where this role may not make them, says so and goes on.

    Raises sqlalchemy.exc.OperationalError when the database does not answer.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with database.engine.begin() as connection:
                _make(connection)
        except sa.exc.DBAPIError as fault:
            state = getattr(fault.orig, "sqlstate", None)
            if fault.connection_invalidated or state is None:
                raise
            if state == _LOCK_NOT_AVAILABLE and attempt < _ATTEMPTS:
                continue
            _log.warning(
                "no trigger on api_keys: what the Go service or a hand in SQL changes there is in force after"
                " --validation-max-age-seconds (VALIDATION_MAX_AGE_SECONDS)",
                extra={"fault": str(fault.orig).strip().splitlines()[0]},
            )
        return


def complete(found: Mapping[str, str]) -> bool:
    """Whether what :data:`FOUND` finds is all there should be."""
    return all(found.get(name) == _BODY for name in _TRIGGERS)


def _make(connection: sa.Connection) -> None:
    found: Mapping[str, str] = connection.execute(sa.text(FOUND)).scalar() or {}
    if complete(found):
        return
    missing = _TRIGGERS.keys() - found.keys()
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(LOCK_SECONDS * 1000)}")
    connection.exec_driver_sql(
        f"CREATE OR REPLACE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql AS $maas${_BODY}$maas$"
    )
    for name in sorted(missing):
        connection.exec_driver_sql(f"CREATE TRIGGER {name} {_TRIGGERS[name]} EXECUTE FUNCTION {_FUNCTION}()")
