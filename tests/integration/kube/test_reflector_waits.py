"""How a reflector waits before it asks a Kubernetes API again."""

from __future__ import annotations

import threading

import pytest

from maas_api.kube.backoff import Timing
from tests.support.kubeapi import Fault, KubeApi
from tests.support.watched import SERVICES, Watched, grow


class Hours:
    """A clock that only waiting moves, and the waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.enough = threading.Event()

    def clock(self) -> float:
        return self.now

    def pause(self, seconds: float) -> bool:
        self.now += seconds
        if self.now >= 3600:
            self.enough.set()
            return threading.Event().wait(0.01)
        return False


def test_an_hour_of_403_is_a_few_hundred_requests_and_keeps_everything(api: KubeApi) -> None:
    grow(api, "a")
    hours = Hours()
    watched = Watched(api, timing=Timing(watch=1, slack=0.2), clock=hours.clock, pause=hours.pause)
    forbidden = [Fault(verb, SERVICES, status=403) for verb in ("list", "watch") for _ in range(5000)]
    watched.reflector.start()
    try:
        watched.settle()
        api.inject(*forbidden)
        before = sum(api.requests.values())
        api.cut_watches()
        assert hours.enough.wait(60), "an hour of virtual time has passed"
        asked = sum(api.requests.values()) - before
        assert 100 < asked < 500, asked
        assert watched.state == "stale"
        assert "403" in watched.reflector.status()[0].detail
        assert list(watched.store.snapshot()) == [("llm", "a")]
    finally:
        watched.reflector.stop()


def test_waits_double_up_to_their_limit_and_respect_the_servers_wish(api: KubeApi) -> None:
    waits: list[float] = []
    done = threading.Event()

    def pause(seconds: float) -> bool:
        waits.append(seconds)
        if len(waits) == 9:
            done.set()
            return threading.Event().wait(0.01)
        return False

    faults = [Fault("list", status=500) for _ in range(8)]
    api.inject(*faults, *[Fault("list", status=429, retry_after=77) for _ in range(2000)])
    watched = Watched(api, timing=Timing(backoff=1, backoff_limit=30), pause=pause, jitter=lambda: 1.0)
    watched.reflector.start()
    try:
        assert done.wait(20)
    finally:
        watched.reflector.stop()
    assert waits[:9] == [1, 2, 4, 8, 16, 30, 30, 30, 77]


def test_jitter_spreads_waits_but_never_to_nothing(api: KubeApi) -> None:
    waits: list[float] = []
    done = threading.Event()

    def pause(seconds: float) -> bool:
        waits.append(seconds)
        done.set()
        return threading.Event().wait(0.01)

    api.inject(*[Fault("list", status=500) for _ in range(2000)])
    watched = Watched(api, timing=Timing(backoff=1), pause=pause, jitter=lambda: 0.0)
    watched.reflector.start()
    try:
        assert done.wait(20)
    finally:
        watched.reflector.stop()
    assert waits[0] == pytest.approx(0.1)


def test_a_server_that_ends_watches_at_once_is_not_asked_in_a_circle(api: KubeApi) -> None:
    hours = Hours()
    api.inject(*[Fault("watch", end=True) for _ in range(5000)])
    watched = Watched(api, timing=Timing(), clock=hours.clock, pause=hours.pause)
    watched.reflector.start()
    try:
        assert hours.enough.wait(60)
        assert api.requests[f"watch {SERVICES}"] < 500
    finally:
        watched.reflector.stop()
