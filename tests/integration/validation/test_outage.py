"""A real PostgreSQL that crashes, freezes and comes back: who gets in meanwhile, and that nothing minted is lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import psycopg
import pytest

from maas_api.errors import ApiError
from maas_api.validation.changes import PostgresChanges
from maas_api.validation.validation import Unavailable
from tests.support.postgres import PostgresServer
from tests.support.replicas import ANN, Replica, replicas
from tests.support.wait import until


@pytest.fixture
def worker(postgres: PostgresServer) -> Iterator[Replica]:
    """One worker."""
    with replicas(postgres.migrated()) as (one,):
        until(lambda: listening(one), what="the channel stands")
        yield one
        postgres.resume()


def listening(worker: Replica) -> bool:
    feed = worker.validation._feed
    assert isinstance(feed, PostgresChanges)
    return feed.channel.since > float("-inf")


def is_down(worker: Replica) -> bool:
    return worker.validation._lookup.down


def passes(worker: Replica, key: str) -> bool:
    """Whether a key is let in; the first questions after an outage may go unanswered on a busy machine."""
    with contextlib.suppress(Unavailable):
        return worker.check(key).valid
    return False


def seconds_of_refusal(worker: Replica, key: str) -> float:
    """How long it takes to say that nobody knows."""
    begun = time.monotonic()
    with pytest.raises(Unavailable):
        worker.check(key)
    return time.monotonic() - begun


@pytest.mark.parametrize("fault", ["crash", "freeze"])
def test_known_keys_go_on_unknown_ones_are_answered_in_time_and_it_recovers(
    postgres: PostgresServer, worker: Replica, fault: str
) -> None:
    known, unknown, revoked = (worker.mint() for _ in range(3))
    assert worker.check(known[0]).valid
    worker.service.revoke(ANN, revoked[1])
    if fault == "crash":
        postgres.halt()
    else:
        postgres.pause()
    try:
        until(lambda: seconds_of_refusal(worker, unknown[0]) < 1.0 and is_down(worker), what="the outage is noticed")
        assert seconds_of_refusal(worker, unknown[0]) < 0.1
        assert worker.check(known[0]).valid
        with pytest.raises(ApiError) as refused:
            worker.mint()
        assert refused.value.body == {"error": "Failed to create API key"}
    finally:
        if fault == "crash":
            postgres.run()
        else:
            postgres.resume()
    until(lambda: not is_down(worker), what="the store is found again")
    assert worker.check(unknown[0]).valid
    assert worker.check(known[0]).valid
    assert not worker.check(revoked[0]).valid
    another = worker.mint()
    assert worker.check(another[0]).valid


def test_the_store_s_restart_between_two_requests_is_not_noticed(postgres: PostgresServer) -> None:
    """But by the time it takes to connect anew, of which there is little on a machine that tests share."""
    with replicas(postgres.migrated(), validation_deadline_ms="10000") as (worker,):
        key, _id = worker.mint()
        postgres.halt()
        postgres.run()
        assert worker.check(key).valid
        assert worker.mint()


def test_last_uses_wait_for_the_store_to_return(postgres: PostgresServer, worker: Replica) -> None:
    key, key_id = worker.mint()
    postgres.halt()
    try:
        worker.validation._notes.used(key_id)
        bookkeeping = worker.validation._notes
        with pytest.raises(Exception, match="connection"):
            bookkeeping.flush()  # type: ignore[attr-defined]  # the part is known
    finally:
        postgres.run()
    until(
        lambda: worker.service.get(ANN, key_id).last_used_at is not None,
        what="the last use was written",
        seconds=15,
    )
    until(lambda: passes(worker, key), what="the key passes")


class TestChannel:
    """LISTEN cut, while the store itself answers."""

    def cut(self, worker: Replica, url: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'maas-api changes'"
            )

    def test_a_cut_channel_is_restored_and_what_it_missed_is_found_out(self, postgres: PostgresServer) -> None:
        url = postgres.migrated()
        with replicas(url, 2) as (one, other):
            until(lambda: listening(one) and listening(other), what="the channels stand")
            key, key_id = one.mint()
            assert other.check(key).valid
            feed = other.validation._feed
            before = feed.channel.since
            self.cut(other, url)
            one.service.revoke(ANN, key_id)
            until(lambda: feed.channel.since > before, what="the channel stands again")
            assert not other.check(key).valid

    def test_without_the_channel_a_revocation_is_in_force_after_the_trust_has_run_out(
        self, postgres: PostgresServer
    ) -> None:
        with replicas(postgres.migrated(), 2, validation_trust_seconds="0.5") as (one, other):
            until(lambda: listening(other), what="the channel stands")
            key, key_id = one.mint()
            assert other.check(key).valid
            other.validation._feed.stop()
            one.service.revoke(ANN, key_id)
            revoked_at = time.monotonic()
            until(lambda: not other.check(key).valid, what="the revocation is in force", seconds=5)
            assert time.monotonic() - revoked_at < 1.5


def test_a_revocation_reaches_every_worker_at_once(postgres: PostgresServer) -> None:
    with replicas(postgres.migrated(), 3) as workers:
        until(lambda: all(map(listening, workers)), what="the channels stand")
        for _ in range(20):
            key, key_id = workers[0].mint()
            # A note of the revocation before, arriving during the lookup, keeps the answer out of the cache.
            until(
                lambda key=key: all(worker.check(key).valid and worker.remembers(key) for worker in workers),  # type: ignore[misc]
                what="every worker remembers the key",
            )
            workers[0].service.revoke(ANN, key_id)
            assert not workers[0].check(key).valid
            until(
                lambda key=key: not any(worker.check(key).valid for worker in workers),  # type: ignore[misc]
                what="the revocation is in force everywhere",
                seconds=1,
            )


def test_a_change_that_nobody_announced_is_bounded_by_the_greatest_age(postgres: PostgresServer) -> None:
    url = postgres.migrated()
    with replicas(url, validation_max_age_seconds="0.5") as (worker,):
        until(lambda: listening(worker), what="the channel stands")
        key, key_id = worker.mint()
        assert worker.check(key).valid
        with psycopg.connect(url, autocommit=True) as connection:  # as where the trigger could not be made
            connection.execute("DROP FUNCTION maas_announce_key CASCADE")
            connection.execute("UPDATE api_keys SET status = 'revoked' WHERE id = %s", (key_id,))
        until(lambda: not worker.check(key).valid, what="the revocation is in force", seconds=3)


@pytest.mark.parametrize(("expires", "valid"), [("infinity", True), ("12000-01-01", True), ("-infinity", False)])
def test_an_expiry_that_python_has_no_datetime_for_is_not_taken_for_an_outage(
    worker: Replica, expires: str, valid: bool
) -> None:
    """PostgreSQL's word for "never", written by hand: whoever held that key could have kept the store "down"."""
    key, key_id = worker.mint()
    with worker.service._store.database.writing() as connection:
        connection.exec_driver_sql(f"UPDATE api_keys SET expires_at = '{expires}' WHERE id = '{key_id}'")
    assert worker.check(key).valid is valid
    assert not is_down(worker)
    assert worker.service.get(ANN, key_id).expires_at is not None
