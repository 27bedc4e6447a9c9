"""Who is an admin, and how long an answer is believed."""

from __future__ import annotations

import pytest

from maas_api.identity.admin import AdminCheckError, AnyAdmins, ReviewedAdmins, StaticAdmins
from maas_api.identity.headers import Identity

ALICE = Identity("alice", ("users", "ops"))


def test_static_admins_are_named_or_in_a_named_group() -> None:
    assert StaticAdmins(("alice",), ()).is_admin(ALICE)
    assert StaticAdmins((), ("ops",)).is_admin(ALICE)
    assert not StaticAdmins(("bob",), ("admins",)).is_admin(ALICE)


class Cluster:
    def __init__(self, answer: bool) -> None:
        self.answer, self.asked, self.now = answer, 0, 0.0

    def ask(self, who: Identity) -> bool:
        self.asked += 1
        return self.answer

    def admins(self, max_size: int = 10) -> ReviewedAdmins:
        return ReviewedAdmins(self.ask, max_size=max_size, clock=lambda: self.now)


@pytest.mark.parametrize(("answer", "seconds"), [(True, 30), (False, 2)])
def test_yes_is_believed_for_30_seconds_and_no_for_2(answer: bool, seconds: int) -> None:
    cluster = Cluster(answer)
    admins = cluster.admins()
    for moment in (0, seconds - 0.1):
        cluster.now = moment
        assert admins.is_admin(ALICE) is answer
    assert cluster.asked == 1
    cluster.now = seconds + 0.1
    admins.is_admin(ALICE)
    assert cluster.asked == 2


def test_the_order_of_groups_does_not_matter_but_their_set_does() -> None:
    cluster = Cluster(True)
    admins = cluster.admins()
    admins.is_admin(ALICE)
    admins.is_admin(Identity("alice", ("ops", "users")))
    assert cluster.asked == 1
    admins.is_admin(Identity("alice", ("ops",)))
    assert cluster.asked == 2


def test_a_full_cache_asks_each_time_and_stays_right() -> None:
    cluster = Cluster(True)
    admins = cluster.admins(max_size=1)
    admins.is_admin(ALICE)
    bob = Identity("bob", ("users",))
    assert admins.is_admin(bob)
    assert admins.is_admin(bob)
    assert cluster.asked == 3


def test_an_error_is_not_an_answer_and_is_not_remembered() -> None:
    calls = []

    def broken(who: Identity) -> bool:
        calls.append(who)
        raise TimeoutError

    admins = ReviewedAdmins(broken, max_size=10)
    for _ in range(2):
        with pytest.raises(AdminCheckError):
            admins.is_admin(ALICE)
    assert len(calls) == 2


def test_nobody_without_a_name_is_an_admin() -> None:
    assert not Cluster(True).admins().is_admin(Identity("", ("ops",)))


def test_a_static_yes_needs_no_cluster() -> None:
    def broken(who: Identity) -> bool:
        raise TimeoutError

    assert AnyAdmins(StaticAdmins(("alice",), ()), ReviewedAdmins(broken, max_size=1)).is_admin(ALICE)
