"""The roster over time: nothing before the source was read, then its last good state, whatever becomes of it."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from maas_api.kube.objects import CONFIG_MAP, GROUP, FeedState, FeedStatus, ObjectStore
from maas_api.membership.membership import Membership
from maas_api.membership.roster import Roster

PLACE = ("maas-api", "maas-directory")


class Source:
    """A feed whose state a test sets."""

    def __init__(self) -> None:
        self.state: FeedState = "waiting"

    def status(self) -> list[FeedStatus]:
        return [FeedStatus("groups", self.state, 0.0, "")]

    def complaints(self) -> list[str]:
        return []


def make(groups: Any, disabled: Any, before: Roster | None) -> Roster:
    return Roster(groups, disabled, before=before)


def group(name: str, *users: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "users": list(users)}


def document(text: str, name: str = PLACE[1]) -> dict[str, Any]:
    return {"metadata": {"namespace": PLACE[0], "name": name}, "data": {"directory.yaml": text}}


class Groups:
    """Membership by Group objects."""

    def __init__(self) -> None:
        self.store, self.source = ObjectStore(GROUP), Source()
        self.membership = Membership([self.store], [self.source], None, make)

    def now(self, name: str, *minted: str) -> tuple[str, ...]:
        roster = self.membership.roster
        assert roster is not None
        return roster.now(name, minted)


def test_nothing_is_known_before_the_source_was_read() -> None:
    found = Groups()
    found.store.replace([group("team-a", "alice")])
    assert found.membership.roster is None
    assert found.membership.report()[0] is False
    found.source.state = "live"
    assert found.now("alice", "team-a") == ("team-a",)
    assert found.membership.report() == (True, {"stale": False, "groups": 1, "disabled": 0})


def test_a_source_without_a_single_group_is_known_too() -> None:
    found = Groups()
    found.source.state = "live"
    assert found.now("alice", "team-a") == ("team-a",), "nobody manages it"


def test_a_change_is_in_force_when_the_event_was_taken_in() -> None:
    found = Groups()
    found.store.replace([group("team-a", "alice", "bob")])
    found.source.state = "live"
    assert found.now("bob", "team-a") == ("team-a",)
    found.store.upsert(group("team-a", "alice"))
    assert found.now("bob", "team-a") == ()
    found.store.upsert(group("team-b", "bob"))
    assert found.now("bob", "team-a") == ("team-b",)


def test_a_group_that_is_deleted_has_no_members_and_does_not_come_back_from_a_keys_mint() -> None:
    found = Groups()
    found.store.replace([group("team-a", "alice"), group("team-b", "alice")])
    found.source.state = "live"
    assert found.now("alice", "team-a", "team-b") == ("team-a", "team-b")
    found.store.delete(("", "team-a"))
    assert found.now("alice", "team-a", "team-b") == ("team-b",)


def test_out_of_touch_the_last_state_stays_and_is_called_stale() -> None:
    found = Groups()
    found.store.replace([group("team-a", "alice")])
    found.source.state = "live"
    assert found.membership.roster is not None
    found.source.state = "stale"
    assert found.now("alice", "team-a") == ("team-a",)
    assert found.membership.report() == (True, {"stale": True, "groups": 1, "disabled": 0})


class TestDocument:
    @pytest.fixture
    def store(self) -> ObjectStore:
        return ObjectStore(CONFIG_MAP)

    @pytest.fixture
    def membership(self, store: ObjectStore) -> Membership:
        source = Source()
        source.state = "live"
        return Membership([store], [source], PLACE, make)

    def test_without_a_usable_document_nothing_is_known(self, store: ObjectStore, membership: Membership) -> None:
        assert membership.roster is None
        assert membership.report() == (
            False,
            {"stale": True, "problem": "there is no ConfigMap maas-api/maas-directory"},
        )
        store.upsert(document("groups: 7"))
        assert membership.roster is None
        assert "groups: must be an object" in membership.report()[1]["problem"]
        store.upsert(document("groups: {team-a: [alice]}"))
        assert membership.roster is not None
        assert membership.report() == (True, {"stale": False, "groups": 1, "disabled": 0})

    @pytest.mark.parametrize("how", ["broken", "deleted"])
    def test_one_that_breaks_or_goes_leaves_the_last_good_one_in_force(
        self, store: ObjectStore, membership: Membership, how: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        store.upsert(document("groups: {team-a: [alice]}\ndisabled: [carol]"))
        for _ in range(3):
            store.upsert(document("groups: [" + " ")) if how == "broken" else store.delete(PLACE)
        roster = membership.roster
        assert roster is not None
        assert roster.gone("carol")
        assert membership.report()[1]["stale"] is True
        assert sum("last known state stays" in line.message for line in caplog.records) == 1

    def test_another_config_map_is_none_of_its_business(self, store: ObjectStore, membership: Membership) -> None:
        store.upsert(document("groups: {team-a: [alice]}"))
        store.upsert(document("groups: 7", name="another"))
        assert membership.report() == (True, {"stale": False, "groups": 1, "disabled": 0})
