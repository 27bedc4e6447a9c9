"""What the Go service, or a hand in SQL, changes in ``api_keys`` reaches every worker as our own changes do."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from maas_api import migrations
from maas_api.errors import ApiError
from maas_api.migrations import announcing
from maas_api.store.announcements import CHANNEL, EVERY_KEY, IDS_AT_MOST
from maas_api.store.database import open_database, sqlite_connection
from maas_api.validation.changes import PostgresChanges
from tests.support.go_service import GoService
from tests.support.postgres import PostgresServer
from tests.support.replicas import ANN, Replica, replicas
from tests.support.wait import until

WORKERS = 4

BY_HAND = {
    "revoked": "UPDATE api_keys SET status = 'revoked' WHERE id = '{id}'",
    "expired": "UPDATE api_keys SET status = 'expired' WHERE id = '{id}'",
    "its time shortened": "UPDATE api_keys SET expires_at = '2001-01-01 00:00:00.000000' WHERE id = '{id}'",
    "another's secret": "UPDATE api_keys SET key_hash = 'x' WHERE id = '{id}'",
    "no subscription": "UPDATE api_keys SET subscription = '' WHERE id = '{id}'",
    "deleted": "DELETE FROM api_keys WHERE id = '{id}'",
    "all deleted": "DELETE FROM api_keys",
}


def listening(workers: list[Replica]) -> None:
    for worker in workers:
        feed = worker.validation._feed
        assert isinstance(feed, PostgresChanges)
        until(lambda feed=feed: feed.channel.since > float("-inf"), what="the channel stands")  # type: ignore[misc]


def known_to_all(workers: list[Replica]) -> tuple[str, str]:
    """A key that every worker answers for from memory."""
    key, key_id = workers[0].mint()
    until(
        lambda: all(worker.check(key).valid and worker.remembers(key) for worker in workers),
        what="every worker remembers the key",
    )
    return key, key_id


def refused_by_all(workers: list[Replica], key: str) -> None:
    """Long before the greatest age of an answer, which is a minute."""
    until(lambda: not any(worker.check(key).valid for worker in workers), what="every worker refuses it", seconds=5)


@pytest.fixture
def workers(postgres: PostgresServer) -> Iterator[tuple[str, list[Replica]]]:
    """Workers on one PostgreSQL that all hear of changes."""
    url = postgres.migrated()
    with replicas(url, WORKERS) as made:
        listening(made)
        yield url, made


@pytest.mark.parametrize("what", BY_HAND)
def test_what_is_changed_by_hand_in_postgresql_is_in_force_at_once(
    workers: tuple[str, list[Replica]], what: str
) -> None:
    url, made = workers
    key, key_id = known_to_all(made)
    by_hand(url, BY_HAND[what].format(id=key_id))
    refused_by_all(made, key)


def test_a_table_that_is_emptied_is_empty_at_once(workers: tuple[str, list[Replica]]) -> None:
    url, made = workers
    key, _id = known_to_all(made)
    by_hand(url, "TRUNCATE api_keys")
    refused_by_all(made, key)


def test_what_the_go_service_revokes_is_refused_at_once(workers: tuple[str, list[Replica]]) -> None:
    url, made = workers
    for _ in range(5):
        key, key_id = known_to_all(made)
        assert GoService(url).revoke(key_id) == 1
        refused_by_all(made, key)


@pytest.mark.parametrize("what", BY_HAND)
def test_what_is_changed_by_hand_in_the_embedded_store_is_in_force_at_the_next_request(
    tmp_path: Path, what: str
) -> None:
    path = tmp_path / "keys.db"
    migrations.upgrade(f"sqlite:///{path}")
    with replicas(f"sqlite:///{path}", 2) as made:
        key, key_id = known_to_all(made)
        connection = sqlite_connection(path)
        connection.execute(BY_HAND[what].format(id=key_id))
        connection.close()
        assert not any(worker.check(key).valid for worker in made)


def test_thousands_changed_by_hand_in_the_embedded_store_are_in_force_too(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    migrations.upgrade(f"sqlite:///{path}")
    with replicas(f"sqlite:///{path}", 2) as made:
        key, _id = known_to_all(made)
        connection = sqlite_connection(path)
        connection.execute(
            f"WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {IDS_AT_MOST + 10})"
            " INSERT INTO api_keys (id, username, name, key_hash, user_groups, created_at, subscription)"
            " SELECT n, 'u', 'n', n, '[]', '2026-01-01', 's' FROM n"
        )
        connection.execute("UPDATE api_keys SET status = 'revoked'")
        connection.close()
        assert not any(worker.check(key).valid for worker in made)


ENDING = [what for what in BY_HAND if what in ("revoked", "expired", "its time shortened", "deleted")]


def family(workers: list[Replica]) -> tuple[str, list[str]]:
    """A key's id, and the keys that were minted with it and with those, known to every worker."""
    parent, parent_id = workers[0].mint()
    child, _ = workers[0].mint(by=parent)
    sibling, _ = workers[0].mint(by=parent, models=["gpt-4o"])
    grandchild, _ = workers[0].mint(by=child)
    found = [child, sibling, grandchild]
    for key in found:
        until(
            lambda key=key: all(worker.check(key).valid and worker.remembers(key) for worker in workers),  # type: ignore[misc]
            what="every worker remembers the key",
        )
    return parent_id, found


@pytest.mark.parametrize("what", ENDING)
def test_what_is_done_to_a_key_in_sql_ends_those_minted_with_it_at_once(
    workers: tuple[str, list[Replica]], what: str
) -> None:
    url, made = workers
    parent_id, children = family(made)
    other, _ = known_to_all(made)
    by_hand(url, BY_HAND[what].format(id=parent_id))
    for key in children:
        refused_by_all(made, key)
    assert all(worker.check(other).valid for worker in made)


def test_what_the_go_service_revokes_ends_those_minted_with_it_at_once(workers: tuple[str, list[Replica]]) -> None:
    url, made = workers
    parent_id, children = family(made)
    assert GoService(url).revoke(parent_id) == 1
    for key in children:
        refused_by_all(made, key)


@pytest.mark.parametrize("what", ENDING)
def test_so_it_is_in_the_embedded_store_at_the_next_request(tmp_path: Path, what: str) -> None:
    path = tmp_path / "keys.db"
    migrations.upgrade(f"sqlite:///{path}")
    with replicas(f"sqlite:///{path}", 2) as made:
        parent_id, children = family(made)
        connection = sqlite_connection(path)
        connection.execute(BY_HAND[what].format(id=parent_id))
        connection.close()
        assert not any(worker.check(key).valid for key in children for worker in made)


def test_one_whose_parent_is_refused_mints_nothing(workers: tuple[str, list[Replica]]) -> None:
    url, made = workers
    parent_id, children = family(made)
    GoService(url).revoke(parent_id)
    for key in children:
        with pytest.raises(ApiError) as refusal:
            made[0].mint(by=key)
        assert refusal.value.status == 401


def test_children_that_were_kept_go_on_whatever_becomes_of_their_parent_s_row(
    workers: tuple[str, list[Replica]],
) -> None:
    url, made = workers
    parent_id, (child, sibling, grandchild) = family(made)
    made[0].service.revoke(ANN, parent_id, keep_children=True)
    by_hand(url, f"DELETE FROM api_keys WHERE id = '{parent_id}'")
    for key in (child, sibling, grandchild):
        until(lambda key=key: all(worker.remembers(key) for worker in made), what="it is known again")  # type: ignore[misc]
        assert all(worker.check(key).valid for worker in made)


def test_a_parent_s_time_that_is_shortened_is_its_children_s_too(workers: tuple[str, list[Replica]]) -> None:
    url, made = workers
    parent_id, (child, *_) = family(made)
    by_hand(url, f"UPDATE api_keys SET expires_at = '2091-01-01T00:00:00Z' WHERE id = '{parent_id}'")
    before = made[0].check(child).expires_at
    by_hand(url, f"UPDATE api_keys SET expires_at = now() + interval '1 hour' WHERE id = '{parent_id}'")
    until(lambda: made[0].check(child).expires_at != before, what="the child's end has moved")
    ends = made[0].check(child).expires_at
    assert ends is not None
    assert abs(ends - time.time() - 3600) < 60


class TestNotes:
    """What is told, and how often."""

    def test_our_own_change_is_told_once(self, workers: tuple[str, list[Replica]]) -> None:
        url, made = workers
        _key, key_id = known_to_all(made)
        with notes(url) as told:
            made[0].service.revoke(ANN, key_id)
            assert told() == [key_id]

    def test_a_last_use_is_not_told(self, workers: tuple[str, list[Replica]]) -> None:
        url, made = workers
        _key, key_id = known_to_all(made)
        with notes(url) as told:
            by_hand(url, f"UPDATE api_keys SET last_used_at = now() WHERE id = '{key_id}'")
            by_hand(url, f"UPDATE api_keys SET status = status WHERE id = '{key_id}'")
            assert told() == []

    def test_of_very_many_in_one_transaction_the_rest_is_told_as_all(self, workers: tuple[str, list[Replica]]) -> None:
        url, made = workers
        key, _id = known_to_all(made)
        many(url, IDS_AT_MOST + 500)
        with notes(url) as told:
            by_hand(url, "UPDATE api_keys SET status = 'revoked'")
            found = told()
        assert len(found) == IDS_AT_MOST + 1
        assert found[-1] == EVERY_KEY
        refused_by_all(made, key)

    def test_the_next_transaction_of_a_session_is_counted_anew(self, workers: tuple[str, list[Replica]]) -> None:
        url, _made = workers
        many(url, IDS_AT_MOST + 1)
        with psycopg.connect(url, autocommit=True) as session:
            session.execute("UPDATE api_keys SET status = 'revoked'")
            with notes(url) as told:
                session.execute("UPDATE api_keys SET status = 'expired' WHERE id = 'many-1'")
                assert told() == ["many-1"]

    @pytest.mark.parametrize("odd", ["a,b", "*", "x" * 9_000, "a\nb", ""])
    def test_an_id_that_no_note_can_carry_drops_everything(self, workers: tuple[str, list[Replica]], odd: str) -> None:
        url, made = workers
        key, key_id = known_to_all(made)
        with psycopg.connect(url, autocommit=True) as session:
            session.execute("UPDATE api_keys SET id = %s WHERE id = %s", (odd, key_id))
            with notes(url) as told:
                session.execute("UPDATE api_keys SET status = 'revoked' WHERE id = %s", (odd,))
                assert told() == [EVERY_KEY]
        refused_by_all(made, key)


class TestBesideTheGoService:
    """The trigger is a guest on its table."""

    def test_it_is_made_on_the_go_service_s_database_and_its_migrations_leave_it(
        self, postgres: PostgresServer
    ) -> None:
        url = postgres.empty()
        GoService(url).migrate()
        migrations.upgrade(url)
        GoService(url).migrate()
        assert triggers(url) == {"maas_announce_key", "maas_announce_truncation"}

    @pytest.mark.parametrize(
        "migration",
        [
            "ALTER TABLE api_keys ADD COLUMN org TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE api_keys ADD COLUMN odd JSON, ADD COLUMN odder POINT",
            "ALTER TABLE api_keys ALTER COLUMN expires_at TYPE TIMESTAMP",
            "ALTER TABLE api_keys ALTER COLUMN id TYPE VARCHAR(64)",
            "ALTER TABLE api_keys RENAME COLUMN last_used_at TO used_at",
            "ALTER TABLE api_keys RENAME COLUMN id TO key_id",
            "ALTER TABLE api_keys DROP COLUMN last_used_at",
            "ALTER TABLE api_keys DROP COLUMN status",
        ],
    )
    def test_it_stands_in_the_way_of_no_migration_and_of_no_statement_after_it(
        self, postgres: PostgresServer, migration: str
    ) -> None:
        url = postgres.migrated()
        many(url, 3)
        with psycopg.connect(url, autocommit=True) as session, notes(url) as told:
            session.execute("UPDATE api_keys SET description = 'before'")
            session.execute(migration.encode())
            session.execute("UPDATE api_keys SET description = 'after' WHERE username = 'u'")
            assert session.execute("DELETE FROM api_keys").rowcount == 3
            assert len(told()) >= 4

    def test_one_that_was_dropped_is_made_again_at_the_next_start(self, postgres: PostgresServer) -> None:
        url = postgres.migrated()
        by_hand(url, "DROP FUNCTION maas_announce_key CASCADE")
        assert triggers(url) == set()
        migrations.upgrade(url)
        assert triggers(url) == {"maas_announce_key", "maas_announce_truncation"}

    def test_one_that_an_operator_switched_off_stays_off(self, postgres: PostgresServer) -> None:
        url = postgres.migrated()
        by_hand(url, "ALTER TABLE api_keys DISABLE TRIGGER maas_announce_key")
        migrations.upgrade(url)
        with psycopg.connect(url) as connection:
            state = connection.execute("SELECT tgenabled FROM pg_trigger WHERE tgname = 'maas_announce_key'").fetchone()
        assert state == (b"D",) or state == ("D",)

    def test_a_role_without_the_right_says_so_once_and_goes_on(
        self, postgres: PostgresServer, caplog: pytest.LogCaptureFixture
    ) -> None:
        url = postgres.migrated()
        by_hand(url, "DROP FUNCTION maas_announce_key CASCADE")
        role = f"guest_{uuid.uuid4().hex}"
        by_hand(url, f"CREATE ROLE {role} LOGIN")
        by_hand(url, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
        guest = url.replace("postgres@", f"{role}@")
        with caplog.at_level(logging.WARNING, "maas_api.migrations"):
            migrations.upgrade(guest)
        (said,) = [record for record in caplog.records if "no trigger on api_keys" in record.getMessage()]
        assert "permission denied" in vars(said)["fault"]
        with replicas(guest, 1, validation_max_age_seconds="0.5") as (worker,):
            key, key_id = worker.mint()
            assert worker.check(key).valid
            by_hand(url, BY_HAND["revoked"].format(id=key_id))
            refused_by_all([worker], key)

    def test_a_table_that_somebody_holds_does_not_hold_up_a_start(
        self, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        url = postgres.migrated()
        by_hand(url, "DROP FUNCTION maas_announce_key CASCADE")
        monkeypatch.setattr(announcing, "LOCK_SECONDS", 0.05)
        database = open_database(url)
        with psycopg.connect(url) as holder, caplog.at_level(logging.WARNING, "maas_api.migrations"):
            holder.execute("LOCK TABLE api_keys IN ROW EXCLUSIVE MODE")
            announcing.ensure(database)
        (said,) = caplog.records
        assert "lock timeout" in vars(said)["fault"]
        announcing.ensure(database)
        assert triggers(url) == {"maas_announce_key", "maas_announce_truncation"}
        database.stop()


def by_hand(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def many(url: str, count: int) -> None:
    by_hand(
        url,
        "INSERT INTO api_keys (id, username, name, key_hash, user_groups, subscription)"
        f" SELECT 'many-' || n, 'u', 'n', 'hash-' || n, ARRAY['g'], 's' FROM generate_series(1, {count}) AS n",
    )


def triggers(url: str) -> set[str]:
    question = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'api_keys'::regclass AND NOT tgisinternal"
    with psycopg.connect(url) as connection:
        return {name for (name,) in connection.execute(question)}


@contextmanager
def notes(url: str) -> Iterator[Callable[[], list[str]]]:
    """What is told on the channel meanwhile."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"LISTEN {CHANNEL}".encode())

        def told() -> list[str]:
            end = uuid.uuid4().hex  # whatever was told before it has arrived before it
            with psycopg.connect(url, autocommit=True) as other:
                other.execute("SELECT pg_notify(%s, %s)", (CHANNEL, end))
            found: list[str] = []
            while end not in found:
                found += [note.payload for note in connection.notifies(timeout=5, stop_after=1)]
            return found[: found.index(end)]

        yield told
