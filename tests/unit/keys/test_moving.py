"""A key as a line of a file: read back it is the same, and without hashes nothing of it comes from a secret."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from maas_api.keys.budget import Budget
from maas_api.keys.moving import STATUSES, Moved, OldSecret, Spent, foreign, header, line, own
from maas_api.keys.policy import UNLIMITED
from maas_api.keys.record import KeyRecord

TENANT = "models-as-a-service"
NOW = datetime(2026, 11, 30, tzinfo=UTC)

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
NAMES = TEXTS.filter(lambda text: bool(text.strip()))
IDS = st.text("abcXYZ019_.:-", min_size=1, max_size=20)
HASHES = st.text("0123456789abcdef", min_size=64, max_size=64)
MOMENTS = st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1), max_value=datetime(9998, 1, 1))  # noqa: DTZ001
BUDGETS = st.sampled_from([(), (Budget(7, "day"),), (Budget(10**9, "month", "USD"), Budget(1, "total", "USD"))])
RECORDS = st.builds(
    KeyRecord,
    id=IDS,
    username=NAMES,
    name=TEXTS,
    description=TEXTS,
    groups=st.lists(TEXTS, max_size=3).map(tuple),
    subscription=TEXTS,
    tenant=st.just(TENANT),
    status=st.sampled_from(STATUSES),
    created_at=MOMENTS,
    expires_at=st.none() | MOMENTS,
    last_used_at=st.none() | MOMENTS,
    ephemeral=st.booleans(),
    labels=st.dictionaries(NAMES, TEXTS, max_size=2),
    models=st.none() | st.lists(TEXTS, max_size=2).map(tuple),
    budgets=BUDGETS,
    parent=st.just("") | IDS,
    imported=st.booleans(),
    lost_limits=st.sampled_from([(), ("models",), ("budget", "models")]),
)
KEYS = st.builds(
    Moved,
    RECORDS,
    HASHES,
    st.booleans(),
    st.lists(st.builds(OldSecret, HASHES, MOMENTS), max_size=2, unique_by=lambda one: one.hash).map(tuple),
    st.lists(st.builds(Spent, NAMES, MOMENTS, st.integers(0, 2**63 - 1)), max_size=2).map(tuple),
)


def written(keys: list[Moved], *, hashes: bool = True) -> list[bytes]:
    lines = [header(TENANT, hashes=hashes, now=NOW), *(line(key, hashes=hashes) for key in keys), {"end": len(keys)}]
    return [json.dumps(one).encode() for one in lines]


@given(st.lists(KEYS, max_size=3, unique_by=(lambda key: key.record.id, lambda key: key.hash)))
def test_what_is_read_back_is_what_was_written(keys: list[Moved]) -> None:
    found, problems = own(written(keys), TENANT)
    seen = [each for key in keys for each in (key.hash, *(old.hash for old in key.old))]
    if len(set(seen)) == len(seen):
        assert (found, problems) == (keys, [])
        assert [key.spent for key in found] == [key.spent for key in keys]


@given(KEYS)
def test_without_hashes_nothing_of_a_line_comes_from_a_secret(key: Moved) -> None:
    with_hashes, without = line(key, hashes=True), line(key, hashes=False)
    assert with_hashes.keys() - without.keys() == {"hash", "oldSecrets"}
    another = Moved(key.record, "0" * 64, key.bound, (), key.spent)
    assert line(another, hashes=False) == without


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(KEYS, st.data())
def test_whatever_a_field_is_the_line_is_taken_or_named(key: Moved, data: st.DataObject) -> None:
    good = line(key, hashes=True)
    field, value = data.draw(st.sampled_from(sorted(good))), data.draw(JSON)
    lines = written([key])
    lines[1] = json.dumps(good | {field: value}).encode()
    found, problems = own(lines, TENANT)
    assert (len(found), len(problems)) in ((1, 0), (0, 1))
    assert all(problem.line == 2 for problem in problems)


@given(st.lists(st.binary(max_size=40) | JSON.map(lambda value: json.dumps(value).encode()), max_size=4))
def test_whatever_another_gateway_s_file_holds_its_lines_are_named(lines: list[bytes]) -> None:
    found, problems = foreign(lines, TENANT, now=NOW, max_days=90, spending=UNLIMITED)
    assert len(found) + len(problems) == sum(bool(text.strip()) for text in lines)
