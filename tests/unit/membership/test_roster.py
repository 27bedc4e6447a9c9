"""Which groups a key's owner is in now: those nobody manages as at mint, the others as the source has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_api.membership.roster import Roster

TEAMS = Roster(
    {"team-a": frozenset({"alice", "bob"}), "team-b": frozenset({"alice"}), "empty": frozenset()},
    frozenset({"carol"}),
    managed=frozenset({"deleted"}),
    patterns=("ldap-*", "legacy"),
)


@pytest.mark.parametrize(
    ("name", "minted", "now"),
    [
        ("alice", ("team-a", "team-b"), ("team-a", "team-b")),
        ("alice", ("team-a",), ("team-a", "team-b")),
        ("bob", ("team-b", "team-a"), ("team-a",)),
        ("bob", ("team-b", "staff"), ("staff", "team-a")),
        ("dave", ("team-a",), ()),
        ("dave", ("team-a", "system:authenticated"), ("system:authenticated",)),
        ("dave", ("empty", "staff"), ("staff",)),
        ("dave", ("deleted", "staff"), ("staff",)),
        ("dave", ("ldap-x", "legacy", "staff", "legacy-2"), ("staff", "legacy-2")),
        ("carol", ("staff", "system:authenticated"), ()),
        ("system:serviceaccount:ml:robot", ("system:serviceaccounts",), ("system:serviceaccounts",)),
    ],
)
def test_a_keys_groups_are_its_owners_now(name: str, minted: tuple[str, ...], now: tuple[str, ...]) -> None:
    assert TEAMS.now(name, minted) == now


def test_nobody_is_gone_who_is_merely_unknown_unless_everybody_is_listed() -> None:
    assert not TEAMS.gone("dave")
    listed = Roster({"team-a": frozenset({"alice"})}, all_listed=True)
    assert listed.gone("dave")
    assert listed.now("dave", ("staff",)) == ()
    assert listed.now("alice", ("staff",)) == ("staff", "team-a")
    assert not listed.gone("system:serviceaccount:ml:robot"), "no directory of people has it"


def test_a_service_account_that_is_disabled_by_name_is_gone() -> None:
    name = "system:serviceaccount:ml:robot"
    assert Roster({}, frozenset({name})).now(name, ("staff",)) == ()


NAMES = st.sampled_from(["alice", "bob", "carol"])
GROUPS = st.sampled_from(["a", "b", "c", "d"])


@given(
    st.dictionaries(GROUPS, st.frozensets(NAMES)),
    st.frozensets(NAMES),
    NAMES,
    st.lists(GROUPS, unique=True),
    st.booleans(),
)
def test_no_group_is_kept_that_the_source_does_not_grant(
    groups: dict[str, frozenset[str]], disabled: frozenset[str], name: str, minted: list[str], all_listed: bool
) -> None:
    roster = Roster(groups, disabled, all_listed=all_listed)
    now = roster.now(name, tuple(minted))
    assert len(set(now)) == len(now)
    for group in now:
        assert name in groups[group] if group in groups else group in minted
    if name in disabled or (all_listed and not any(name in members for members in groups.values())):
        assert now == ()
    else:
        assert {group for group, members in groups.items() if name in members} <= set(now)


STATES = st.lists(st.dictionaries(GROUPS, st.frozensets(NAMES)), min_size=1, max_size=6)


@given(STATES, NAMES, st.lists(GROUPS, unique=True))
def test_a_state_that_follows_others_says_what_one_made_anew_says(
    states: list[dict[str, frozenset[str]]], name: str, minted: list[str]
) -> None:
    roster: Roster | None = None
    managed: set[str] = set()
    for groups in states:
        roster = Roster(groups, before=roster)
        managed |= groups.keys()
        anew = Roster(groups, managed=frozenset(managed))
        assert roster.now(name, tuple(minted)) == anew.now(name, tuple(minted))
        assert set(roster.of(name)) == set(anew.of(name))
        assert roster.listed(name) == anew.listed(name)
