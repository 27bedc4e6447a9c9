"""Whoever holds a key gets nothing out of it that is more than that key, in however many steps."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from maas_api import migrations
from maas_api.access.allowlist import allows
from maas_api.errors import ApiError
from maas_api.identity.headers import Identity
from maas_api.keys.record import KeyRecord
from tests.support.replicas import ANN, Replica, replicas

INSIDER = Identity("ann", ("team", "admins"))
PATTERNS = ["*", "a*", "ab*", "abc", "abd", "b*", "bcd"]
MODELS = ["a", "ab", "abc", "abd", "abcd", "b", "bc", "bcd", "c"]
ASKED = st.fixed_dictionaries(
    {
        "expiresIn": st.sampled_from([None, "1m", "30m", "2h", "40d", "90d"]),
        "ephemeral": st.booleans(),
        "models": st.one_of(st.none(), st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3, unique=True)),
        "subscription": st.sampled_from(["", "gold", "space/gold", "silver"]),
        "budget": st.sampled_from([None, None, {"tokens": 5, "per": "day"}, {"tokens": 10**9, "per": "total"}]),
    }
)
ROTATED = st.sampled_from([None, 0, 60])
"""Seconds for which the secret before stays good."""
STEPS = st.lists(st.tuples(st.integers(0, 9), st.one_of(ASKED, st.tuples(st.integers(0, 9), ROTATED))), max_size=12)


class Secret(NamedTuple):
    """What a thief holds: a secret, its key, when it ends, and the key it all began with."""

    plaintext: str
    record: KeyRecord
    until: datetime


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    folder: Path = tmp_path_factory.mktemp("chains")
    url = f"sqlite:///{folder / 'keys.db'}"
    migrations.upgrade(url)
    with replicas(url) as (one,):
        yield one


def named(fields: dict[str, Any]) -> dict[str, Any]:
    return {"name": "key", "description": "", "labels": {}, **fields}


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ASKED.map(lambda fields: fields | {"subscription": "gold"}), st.sampled_from([None, 30]), STEPS)
def test_no_chain_of_mints_and_rotations_by_keys_gains_anything(
    worker: Replica, first: dict[str, Any], grace: int | None, steps: list[tuple[int, Any]]
) -> None:
    service = worker.service
    bystander = service.mint(INSIDER, named({"expiresIn": "90d", **_ANYTHING}))
    try:
        root = service.mint(ANN, named(first))
    except ApiError:  # an ephemeral one for two days, say
        return
    until = root.record.expires_at
    assert until is not None
    if grace is not None:  # what was stolen is the secret before, soon over
        old = service.rotate(ANN, root.record.id, grace_seconds=grace, idempotency_key=None).old_valid_until
        assert old is not None
        until = min(until, old)
    held = [Secret(root.secret.plaintext, root.record, until)]
    ids = [root.record.id, bystander.record.id]
    for which, step in steps:
        by = held[which % len(held)]
        try:
            if isinstance(step, dict):
                made = service.mint(INSIDER, named(step), by=by.plaintext)
                event("minted")
                assert made.record.expires_at is not None
                held.append(Secret(made.secret.plaintext, made.record, made.record.expires_at))
                ids.append(made.record.id)
            else:
                target, kept = step
                done = service.rotate(
                    ANN, ids[target % len(ids)], grace_seconds=kept or 0, idempotency_key=None, by=by.plaintext
                )
                event("rotated")
                assert done.record.expires_at is not None
                held.append(Secret(done.secret.plaintext, done.record, done.record.expires_at))
        except ApiError as refusal:
            if refusal.status not in (400, 401, 403):
                raise
    for secret in held[1:]:
        gained = secret.record
        assert secret.until <= until
        assert set(gained.groups) <= set(root.record.groups)
        assert gained.subscription == root.record.subscription
        assert all(allows(root.record.models, model) for model in MODELS if allows(gained.models, model))
        assert not root.record.budgets
        assert gained.id != bystander.record.id
    service.revoke(ANN, root.record.id)
    assert not any(worker.check(secret.plaintext).valid for secret in held)
    service.revoke(ANN, bystander.record.id)


_ANYTHING: dict[str, Any] = {"ephemeral": False, "models": None, "subscription": "silver", "budget": None}
