"""Whatever changes a key, and in whatever order, every other worker answers by the new state at its next request."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import maas_api
from maas_api import migrations
from maas_api.audit.record import Draft
from maas_api.keys import format as key_format
from maas_api.keys.statements import bulk, moving
from maas_api.keys.statements.store import KeyStore
from maas_api.store.tables import api_keys
from maas_api.validation.ledger import KeyLedger
from tests.support.replicas import ANN, Replica, replicas

TENANT = "models-as-a-service"


def store_of(worker: Replica) -> KeyStore:
    found = worker.service._store
    assert isinstance(found, KeyStore)
    return found


def past(store: KeyStore, key_id: str) -> None:
    """Let a key's time be over, as time itself would."""
    with store.database.writing() as connection:
        connection.execute(
            sa.update(api_keys).where(api_keys.c.id == key_id).values(expires_at=datetime.now(UTC) - timedelta(hours=2))
        )


def revoke(worker: Replica, key_id: str) -> None:
    worker.service.revoke(ANN, key_id)


def bulk_revoke(worker: Replica, key_id: str) -> None:
    bulk.revoke_active(store_of(worker), username="ann", subscription=None)


def end_tenant(worker: Replica, key_id: str) -> None:
    bulk.revoke_tenant(store_of(worker))


def rotate(worker: Replica, key_id: str) -> None:
    worker.service.rotate(ANN, key_id, grace_seconds=0, idempotency_key=None)


def repeat_rotation(worker: Replica, key_id: str) -> None:
    for _ in range(2):
        worker.service.rotate(ANN, key_id, grace_seconds=0, idempotency_key="same")


def sweep(worker: Replica, key_id: str) -> None:
    store = store_of(worker)
    with store.database.writing() as connection:
        connection.execute(sa.update(api_keys).where(api_keys.c.id == key_id).values(ephemeral=True))
    past(store, key_id)
    assert bulk.sweep(store) >= 1


def store_expiry(worker: Replica, key_id: str) -> None:
    past(store_of(worker), key_id)
    KeyLedger(store_of(worker)).record_expired({key_id})


def bring_its_end(worker: Replica, key_id: str) -> None:
    """Import a file that has the key as revoked."""
    store = store_of(worker)
    ended = [
        replace(one, record=replace(one.record, status="revoked"))
        for one in moving.everything(store)
        if one.record.id == key_id
    ]
    assert len(moving.take_in(store, ended, Draft("import", "operator"), partly=False).ended) == 1


MUTATORS: list[Callable[[Replica, str], None]] = [
    revoke,
    bulk_revoke,
    end_tenant,
    rotate,
    repeat_rotation,
    sweep,
    store_expiry,
    bring_its_end,
]


@pytest.mark.parametrize("mutator", MUTATORS, ids=lambda mutator: mutator.__name__)
def test_every_mutator_reaches_a_worker_that_remembers_the_key(
    mutator: Callable[[Replica, str], None], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    migrations.upgrade(url)
    with replicas(url, 2) as (one, other):
        key, key_id = one.mint()
        assert other.check(key).valid
        assert other.remembers(key)
        mutator(one, key_id)
        assert not other.check(key).valid
        assert not one.check(key).valid


def test_nothing_else_writes_to_keys() -> None:
    """A new mutator shows here, and then belongs on the list above."""
    root = Path(maas_api.__file__).parent
    writers = {
        path.name
        for path in root.rglob("*.py")
        if any(word in path.read_text() for word in ("sa.update(api_keys)", "sa.delete(api_keys)", "UPDATE api_keys"))
    }
    # The last adds marks to labels, which the triggers announce.
    assert writers == {"bulk.py", "ledger.py", "lineage.py", "rotation.py", "store.py", "moving.py", "marking.py"}


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from("mcrog"), st.integers(0, 3), st.booleans()), min_size=3, max_size=20))
def test_two_workers_agree_with_the_store_after_any_history(
    steps: list[tuple[str, int, bool]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """m: mint; c: check; r: revoke; o: rotate; g: rotate with a grace. Each on either worker."""
    url = f"sqlite:///{tmp_path_factory.mktemp('history') / 'keys.db'}"
    migrations.upgrade(url)
    with replicas(url, 2) as workers:
        alive: dict[str, bool] = {}
        keys: list[tuple[str, str]] = []
        for step, number, first in steps:
            worker = workers[0 if first else 1]
            if step == "m" or not keys:
                keys.append(worker.mint())
                alive[keys[-1][0]] = True
                continue
            key_id = keys[number % len(keys)][1]
            secrets = [key for key, owner in keys if owner == key_id]
            if step == "r" and any(alive[key] for key in secrets):
                revoke(worker, key_id)
                alive.update(dict.fromkeys(secrets, False))
            elif step in "og" and any(alive[key] for key in secrets):
                made = worker.service.rotate(
                    ANN, key_id, grace_seconds=3600 if step == "g" else 0, idempotency_key=None
                )
                if step == "o":
                    alive.update(dict.fromkeys(secrets, False))
                keys.append((made.secret.plaintext, key_id))
                alive[made.secret.plaintext] = True
            for one, (key, _owner) in itertools.product(workers, keys):
                assert one.check(key).valid == alive[key]


def test_no_two_keys_share_an_id_or_a_hash(tmp_path: Path) -> None:
    made = [key_format.make() for _ in range(20_000)]
    assert len({key.hash for key in made}) == len({key.plaintext for key in made}) == len(made)
    url = f"sqlite:///{tmp_path / 'keys.db'}"
    migrations.upgrade(url)
    with replicas(url) as (worker,):
        ids = {worker.mint()[1] for _ in range(50)}
    assert len(ids) == 50
