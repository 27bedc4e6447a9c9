"""A verdict as its key's owner is now, at the cost of a look into a dictionary."""

from __future__ import annotations

import json
from typing import Any

from maas_api.validation.owners import Owners
from maas_api.validation.verdict import BAD_FORMAT, OWNER_GONE, Verdict, accepted


def key(key_id: str = "1", groups: tuple[str, ...] = ("team-a",), **more: Any) -> Verdict:
    usual: dict[str, Any] = {"key_name": "k", "username": "alice", "subscription": "gold", "tenant": "t"}
    usual |= {"models": ("m",), "expires_at": 7.0, "budgets": ()}
    return accepted(key_id=key_id, groups=groups, **{**usual, **more})


class Groups:
    def __init__(self, *groups: str) -> None:
        self.groups, self.asked = groups, 0

    def now(self, name: str, minted: tuple[str, ...]) -> tuple[str, ...]:
        assert name == "alice"
        self.asked += 1
        return self.groups


class Source:
    roster: Groups | None = None


def owners(size: int = 10) -> tuple[Source, Owners]:
    source = Source()
    return source, Owners(source, size)


def test_the_callbacks_answer_has_the_groups_of_now() -> None:
    source, found = owners()
    source.roster = Groups("team-b", "team-c")
    now = found.now(key())
    assert now.groups == ("team-b", "team-c")
    assert json.loads(now.body)["groups"] == ["team-b", "team-c"]
    assert now._replace(groups=("team-a",), body=b"") == key()._replace(body=b""), "and nothing else is another"


def test_whose_owner_is_gone_is_refused_without_a_word_about_the_key() -> None:
    source, found = owners()
    source.roster = Groups()
    assert found.now(key()) is OWNER_GONE
    assert json.loads(OWNER_GONE.body) == {"valid": False, "tenant": "", "reason": "key owner has left or is disabled"}


def test_the_same_groups_are_the_same_verdict_and_a_refusal_is_not_looked_up() -> None:
    source, found = owners()
    source.roster = groups = Groups("team-a")
    given = key()
    assert found.now(given) is given
    assert found.now(BAD_FORMAT) is BAD_FORMAT
    assert groups.asked == 1


def test_an_answer_is_remembered_until_the_key_or_the_groups_change_and_memory_is_bounded() -> None:
    source, found = owners(size=3)
    source.roster = groups = Groups("team-b")
    given = key()
    assert [found.now(given).groups for _ in range(5)] == [("team-b",)] * 5
    assert groups.asked == 1
    assert found.now(key()).groups == ("team-b",), "another verdict of the same key"
    assert groups.asked == 2
    source.roster = later = Groups("team-c")
    assert found.now(given).groups == ("team-c",)
    assert later.asked == 1
    for number in range(100):
        found.now(key(str(number)))
        assert len(found._made) <= 3


def test_before_anything_is_known_it_says_so() -> None:
    source, found = owners()
    assert not found.known
    assert found.now(key()) is OWNER_GONE, "should anybody ask all the same"
    source.roster = Groups("team-a")
    assert found.known
