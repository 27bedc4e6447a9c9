"""A reflector through the stages of an API server that restarts, and through rights that come and go."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from maas_api.kube.backoff import Timing
from maas_api.kube.client import Client
from maas_api.kube.credentials import Credentials, Fixed
from maas_api.kube.objects import LLM_INFERENCE_SERVICE, ObjectStore
from maas_api.kube.reflector import Reflector
from tests.support import kubeapi
from tests.support.kubeapi import Fault, KubeApi, Stage
from tests.support.objects import service
from tests.support.wait import until

SERVICES = LLM_INFERENCE_SERVICE.plural
QUICK = Timing(settle=0.05, backoff=0.01, backoff_limit=0.03, refusal_limit=0.05, relist=0.01)


@pytest.fixture
def api() -> Iterator[KubeApi]:
    found = KubeApi((LLM_INFERENCE_SERVICE,))
    found.put(SERVICES, service("a"))
    with kubeapi.running(found):
        yield found


@contextmanager
def reflecting(api: KubeApi, **options: Any) -> Iterator[Reflector]:
    client = Client(Credentials(api.url, Fixed()), qps=10_000, burst=10_000)
    reflector = Reflector(client, ObjectStore(LLM_INFERENCE_SERVICE), **({"timing": QUICK} | options))
    reflector.start()
    try:
        yield reflector
    finally:
        reflector.stop()


def equal(api: KubeApi, reflector: Reflector) -> bool:
    held = {key: obj["metadata"]["resourceVersion"] for key, obj in reflector.store.snapshot().items()}
    return held == api.state(SERVICES)


def watching(api: KubeApi, reflector: Reflector) -> None:
    """Wait until it holds what there is, over an open watch."""
    asked = api.requests[f"watch {SERVICES}"]
    until(lambda: reflector.status()[0].state == "live" and equal(api, reflector), what="in touch")
    if not asked:
        until(lambda: api.requests[f"watch {SERVICES}"], what="the watch is open")


class Restart:
    """Waits that take no time and lead the server through its stages: each lasts for so many of them."""

    def __init__(self, api: KubeApi, stages: dict[Stage, int], meanwhile: Callable[[], object]) -> None:
        self.waits: list[tuple[Stage, float]] = []
        self._api = api
        self._left = dict(stages)
        self._meanwhile = meanwhile
        self.over = threading.Event()

    def begin(self) -> None:
        self._api.enter(next(iter(self._left)))
        self._meanwhile()

    def pause(self, seconds: float) -> bool:
        stage = self._api.stage
        self.waits.append((stage, seconds))
        if len(self.waits) > 400:
            return threading.Event().wait(0.01)
        if stage in self._left:
            self._left[stage] -= 1
            if self._left[stage] <= 0:
                del self._left[stage]
                self._api.enter(next(iter(self._left), "serving"))
        return False

    def late(self) -> float:
        """Most seconds from the moment the server serves again: the wait that is going on then, and those after it."""
        before = [seconds for stage, seconds in self.waits if stage != "serving"]
        return before[-1] + sum(seconds for stage, seconds in self.waits if stage == "serving")


STARTS: dict[str, dict[Stage, int]] = {
    "a short outage": {"down": 2, "loading rules": 1, "initializing": 1},
    "a long outage": {"down": 40, "loading rules": 4, "initializing": 3},
    "rules that take their time": {"down": 5, "loading rules": 10, "initializing": 1},
    "storage that takes its time": {"down": 5, "loading rules": 1, "initializing": 20},
}


@pytest.mark.parametrize("stages", STARTS.values(), ids=STARTS.keys())
def test_after_an_outage_what_changed_shows_within_two_seconds_of_waiting(
    api: KubeApi, stages: dict[Stage, int]
) -> None:
    restart = Restart(api, stages, lambda: api.put(SERVICES, service("b")))
    options = {"timing": Timing(), "pause": restart.pause, "jitter": lambda: 1.0}
    with reflecting(api, **options) as reflector:
        watching(api, reflector)
        restart.begin()
        until(lambda: ("llm", "b") in reflector.store.snapshot(), what="the change made during the outage")
        assert restart.late() <= 2.0, restart.waits
        assert api.requests[f"list {SERVICES}"] == 2, "one list at the start, one after the 410"
        asked = sum(api.arrivals.values()) - api.arrivals["serving"]
        assert asked <= sum(stages.values()) + 1, "one request for each wait"


def test_an_outage_of_an_hour_is_no_storm(api: KubeApi) -> None:
    """About one request a second and kind, which costs a server that is down nothing and one that comes up little."""
    hour = Counter[Stage]()

    def pause(seconds: float) -> bool:
        hour[api.stage] += round(seconds * 1000)
        return hour["down"] > 3_600_000 and threading.Event().wait(0.01)

    with reflecting(api, timing=Timing(), pause=pause) as reflector:
        watching(api, reflector)
        api.enter("down")
        until(lambda: hour["down"] > 3_600_000, what="an hour of waits", seconds=60)
        assert 3600 < api.arrivals["down"] < 3600 * 2.5


def test_it_is_back_when_it_is_equal_and_not_before(api: KubeApi, caplog: pytest.LogCaptureFixture) -> None:
    said: list[bool] = []

    class Witness(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "is back" in record.getMessage():
                said.append(equal(api, reflector))

    witness = Witness()
    logging.getLogger("maas_api.kube.reflector").addHandler(witness)
    try:
        with caplog.at_level("INFO"), reflecting(api) as reflector:
            watching(api, reflector)
            api.enter("down")
            api.put(SERVICES, service("b"))
            until(lambda: reflector.status()[0].state == "stale", what="the outage is noticed")
            api.enter("serving")
            until(lambda: said, what="it says that it is back")
            assert said == [True]
            assert reflector.status()[0].state == "live"
    finally:
        logging.getLogger("maas_api.kube.reflector").removeHandler(witness)


def test_a_quiet_watch_that_resumed_is_back_after_a_moment(api: KubeApi) -> None:
    with reflecting(api) as reflector:
        watching(api, reflector)
        api.inject(Fault("watch", status=503))
        api.cut_watches()
        until(lambda: reflector.status()[0].state == "stale", what="the break is noticed")
        until(lambda: reflector.status()[0].state == "live", what="it is back, though nothing has happened")
        assert api.requests[f"list {SERVICES}"] == 1


def test_a_server_that_says_gone_forever_gets_no_storm_of_lists(api: KubeApi) -> None:
    waited = [0.0]

    def pause(seconds: float) -> bool:
        waited[0] += seconds
        return waited[0] > 3600 and threading.Event().wait(0.01)

    api.inject(*[Fault("watch", error_event=410) for _ in range(5000)])
    with reflecting(api, timing=Timing(), pause=pause):
        until(lambda: waited[0] > 3600, what="an hour of waits", seconds=60)
        assert 100 < api.requests[f"list {SERVICES}"] < 400


def test_a_watch_forbidden_by_a_server_that_loads_its_rules_resumes_without_a_list(api: KubeApi) -> None:
    with reflecting(api) as reflector:
        watching(api, reflector)
        api.inject(*[Fault("watch", status=403) for _ in range(5)])
        api.cut_watches()
        api.put(SERVICES, service("b"))
        until(lambda: ("llm", "b") in reflector.store.snapshot(), what="the change during the restart")
        assert api.requests[f"list {SERVICES}"] == 1


def test_a_role_that_lists_but_does_not_watch_is_read_now_and_then(api: KubeApi) -> None:
    api.authorize = lambda method, path, query: not query.get("watch")
    with reflecting(api) as reflector:
        until(lambda: equal(api, reflector), what="the first list")
        api.put(SERVICES, service("b"))
        until(lambda: equal(api, reflector), what="a list instead of the watch that is forbidden for good")
        until(lambda: "403" in str(reflector.complaints()), what="the refusal is said")


def test_rights_that_are_revoked_end_nothing_until_the_watch_ends_and_cost_no_object(api: KubeApi) -> None:
    with reflecting(api) as reflector:
        watching(api, reflector)
        api.authorize = lambda method, path, query: False
        api.put(SERVICES, service("b"))
        until(lambda: equal(api, reflector), what="the open watch goes on, as on a real server")
        assert reflector.status()[0].state == "live"
        api.cut_watches()
        until(lambda: "403" in reflector.status()[0].detail, what="the next one is forbidden")
        assert reflector.status()[0].state == "stale"
        assert sorted(name for _, name in reflector.store.snapshot()) == ["a", "b"]
        api.authorize = lambda method, path, query: True
        api.put(SERVICES, service("c"))
        until(lambda: reflector.status()[0].state == "live" and equal(api, reflector), what="the right is back")


@pytest.mark.parametrize(("optional", "state"), [(True, "refused"), (False, "waiting")])
def test_a_right_that_was_never_there_holds_up_only_what_needs_it(api: KubeApi, optional: bool, state: str) -> None:
    api.authorize = lambda method, path, query: False
    seen: set[str] = set()
    with reflecting(api, optional=optional) as reflector:

        def after_patience() -> bool:
            (status,) = reflector.status()
            seen.add(status.state)
            return api.forbidden > QUICK.patience + 3

        until(after_patience, what="it was asked for longer than any start takes")
        (status,) = reflector.status()
        assert (status.state, status.synced, status.settled) == (state, False, optional)
        assert "waiting" in seen, "a server that is starting says the same"
        assert "403" in str(reflector.complaints())
        api.authorize = lambda method, path, query: True
        until(lambda: reflector.status()[0].state == "live" and equal(api, reflector), what="the right was granted")
