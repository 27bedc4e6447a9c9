"""Whatever happens in whatever order: in the end the store is the cluster, and what stayed was never missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maas_api.kube.backoff import Timing
from maas_api.kube.client import Client
from maas_api.kube.credentials import Credentials, Fixed
from maas_api.kube.objects import LLM_INFERENCE_SERVICE, ObjectStore
from maas_api.kube.reflector import Reflector
from tests.support import kubeapi
from tests.support.kubeapi import Fault, KubeApi
from tests.support.objects import service
from tests.support.wait import until

SERVICES = LLM_INFERENCE_SERVICE.plural
TIMING = Timing(watch=1, slack=0.1, backoff=0.005, backoff_limit=0.02, absent=0.02, page=3)

PERMANENT = {("llm", f"stays-{number}") for number in range(4)}
NAMES = tuple(f"goes-{number}" for number in range(6))


class Step(NamedTuple):
    """One thing that happens; ``wait`` lets the reflector catch up before the next."""

    do: str
    name: str = ""
    wait: bool = False


FAULTS: dict[str, Callable[[], Fault]] = {
    "list 500": lambda: Fault("list", status=500),
    "list 410": lambda: Fault("list", status=410),
    "list 403": lambda: Fault("list", status=403),
    "watch 410": lambda: Fault("watch", status=410),
    "watch 429": lambda: Fault("watch", status=429),
    "watch 500": lambda: Fault("watch", status=500),
    "watch 404": lambda: Fault("watch", status=404),
    "event 410": lambda: Fault("watch", error_event=410),
    "event 500": lambda: Fault("watch", error_event=500),
    "cut 0": lambda: Fault("watch", cut_after=0),
    "cut 1": lambda: Fault("watch", cut_after=1),
    "end": lambda: Fault("watch", end=True),
}

steps = st.lists(
    st.one_of(
        st.builds(Step, st.sampled_from(("put", "delete", "put", "touch")), st.sampled_from(NAMES), st.booleans()),
        st.builds(Step, st.sampled_from(("cut", "compact", *FAULTS)), st.just(""), st.booleans()),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
@given(script=steps)
def test_any_interleaving_of_changes_and_faults_ends_in_the_clusters_state(script: list[Step]) -> None:
    api = KubeApi((LLM_INFERENCE_SERVICE,))
    for _, name in PERMANENT:
        api.put(SERVICES, service(name))
    store = ObjectStore(LLM_INFERENCE_SERVICE)
    missing: list[object] = []
    synced: list[bool] = []

    def look(_: object) -> None:
        lost = PERMANENT - store.snapshot().keys()
        if synced and lost:
            missing.append(lost)

    store.subscribe(look)

    def equal() -> bool:
        held = {key: obj["metadata"]["resourceVersion"] for key, obj in store.snapshot().items()}
        return held == api.state(SERVICES)

    with kubeapi.running(api):
        reflector = Reflector(
            Client(Credentials(api.url, Fixed()), qps=10_000, burst=10_000), store, timing=TIMING, jitter=lambda: 0.5
        )
        reflector.start()
        try:
            until(equal, what="the first list")
            synced.append(True)
            for step in script:
                act(api, step)
                if step.wait:
                    until(equal, what=f"caught up after {step}")
            until(equal, what="the end is reached")
        finally:
            reflector.stop()
    assert not missing


def act(api: KubeApi, step: Step) -> None:
    """Do one step to the cluster."""
    if step.do == "put":
        api.put(SERVICES, service(step.name))
    elif step.do == "touch":
        api.put(SERVICES, service(min(PERMANENT)[1]))
    elif step.do == "delete":
        if ("llm", step.name) in api.state(SERVICES):
            api.delete(SERVICES, "llm", step.name)
    elif step.do == "cut":
        api.cut_watches()
    elif step.do == "compact":
        api.compact()
        api.cut_watches()
    else:
        api.inject(FAULTS[step.do]())
