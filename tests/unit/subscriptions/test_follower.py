"""The directory follows the object stores, and knows the difference between none, not yet and no such kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from maas_api.identity.headers import Identity
from maas_api.kube.objects import MAAS_AUTH_POLICY, MAAS_SUBSCRIPTION, FeedState, FeedStatus, ObjectStore
from maas_api.subscriptions.directory import Directory
from maas_api.subscriptions.follower import Follower
from tests.support.wait import until
from tests.unit.subscriptions.objects import policy, subscription

ALICE = Identity("alice", ("team-a",))


class Cluster:
    """A feed whose state the test sets."""

    def __init__(self, state: FeedState) -> None:
        self.state: FeedState = state
        self.subscriptions = ObjectStore(MAAS_SUBSCRIPTION)
        self.policies = ObjectStore(MAAS_AUTH_POLICY)

    def status(self) -> list[FeedStatus]:
        return [FeedStatus("maassubscriptions", self.state, 0.0, "")]


def follower(directory: Directory, cluster: Cluster) -> Follower:
    return Follower(
        directory,
        subscriptions=[cluster.subscriptions],
        policies=[cluster.policies],
        feeds=[cluster],
        exists=lambda: cluster.state != "absent",
        interval=0.01,
        coalesce=0.0,
    )


@contextmanager
def following(cluster: Cluster) -> Iterator[Directory]:
    directory = Directory()
    subject = follower(directory, cluster)
    subject.start()
    try:
        yield directory
    finally:
        subject.stop()


def owned(directory: Directory) -> list[str] | None:
    state = directory.state
    return None if state is None else [item.name for item in state.owned(ALICE)]


def mine(name: str, **more: Any) -> dict[str, Any]:
    return subscription(name, users=("alice",), **more)


def test_nothing_is_known_before_the_first_reading() -> None:
    cluster = Cluster("waiting")
    cluster.subscriptions.upsert(mine("half-read"))
    with following(cluster) as directory:
        assert not directory.known
        cluster.subscriptions.upsert(mine("read"))
        cluster.state = "live"
        until(lambda: owned(directory) == ["half-read", "read"], what="the first state")
        assert directory.known


def test_added_changed_and_deleted_objects_are_followed() -> None:
    cluster = Cluster("live")
    with following(cluster) as directory:
        assert owned(directory) == []
        cluster.subscriptions.upsert(mine("b"))
        until(lambda: owned(directory) == ["b"], what="the new one")
        cluster.subscriptions.upsert(mine("a"))
        until(lambda: owned(directory) == ["a", "b"], what="the second")
        cluster.subscriptions.upsert(mine("b", priority=1))
        until(lambda: owned(directory) == ["b", "a"], what="the new priority")
        cluster.policies.upsert(policy("p", "opt", groups=("team-a",)))
        until(lambda: directory.state and directory.state.authorized(ALICE), what="the policy")
        cluster.subscriptions.delete(("models-as-a-service", "b"))
        until(lambda: owned(directory) == ["a"], what="the deletion")
        cluster.policies.replace(())
        until(lambda: directory.state and not directory.state.authorized(ALICE), what="the policy's end")


def test_a_source_that_is_lost_leaves_the_last_known_state() -> None:
    cluster = Cluster("live")
    cluster.subscriptions.upsert(mine("a"))
    with following(cluster) as directory:
        cluster.state = "stale"
        cluster.subscriptions.upsert(mine("b"))
        until(lambda: owned(directory) == ["a", "b"], what="what still arrives")


def test_a_kind_that_is_removed_and_installed_again_is_noticed_without_an_event() -> None:
    cluster = Cluster("absent")
    with following(cluster) as directory:
        assert directory.known
        assert owned(directory) is None
        cluster.state = "live"
        until(lambda: owned(directory) == [], what="the kind")
        cluster.subscriptions.upsert(mine("a"))
        until(lambda: owned(directory) == ["a"], what="its first object")
        cluster.subscriptions.replace(())
        cluster.state = "absent"
        until(lambda: owned(directory) is None, what="the kind's removal")


def test_an_unchanged_object_is_not_read_again() -> None:
    cluster = Cluster("live")
    cluster.subscriptions.replace([mine("a"), mine("b")])
    directory = Directory()
    subject = follower(directory, cluster)
    subject.refresh()
    assert directory.state is not None
    before = {item.name: item for item in directory.state.subscriptions}
    cluster.subscriptions.upsert(mine("b", priority=3))
    subject.refresh()
    after = {item.name: item for item in directory.state.subscriptions}
    assert after["a"] is before["a"]
    assert (before["b"].priority, after["b"].priority) == (0, 3)


def test_without_a_change_nothing_is_rebuilt() -> None:
    cluster = Cluster("live")
    directory = Directory()
    subject = follower(directory, cluster)
    subject.refresh()
    first = directory.state
    subject.refresh()
    assert directory.state is first
