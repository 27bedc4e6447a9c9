"""A reflector against a Kubernetes API over HTTP that misbehaves in every known way.

After each fault the store equals the cluster, and at no time did it lose an object the cluster still had.
"""

from __future__ import annotations

import threading

import pytest

from maas_api.kube.objects import CONFIG_MAP, LLM_INFERENCE_SERVICE
from tests.support.kubeapi import Fault, KubeApi
from tests.support.objects import registry, service
from tests.support.wait import until
from tests.support.watched import QUICK, SERVICES, Watched, grow, watch_open, watching


def test_it_lists_then_follows_every_change(api: KubeApi) -> None:
    grow(api, "a", "b")
    with watching(api) as watched:
        watched.settle()
        watched.keep.clear()
        grow(api, "c", "a")
        api.delete(SERVICES, "llm", "b")
        watched.settle()
        assert sorted(name for _, name in watched.store.snapshot()) == ["a", "c"]
        assert api.requests[f"list {SERVICES}"] == 1
        assert (watched.state, watched.reflector.status()[0].detail) == ("live", "")


def test_before_the_first_list_nothing_is_claimed(api: KubeApi) -> None:
    api.inject(*[Fault("list", status=500) for _ in range(3)])
    watched = Watched(api)
    assert not watched.reflector.has_synced
    assert watched.reflector.status()[0].state == "waiting"
    watched.reflector.start()
    watched.settle()
    watched.reflector.stop()


def test_five_thousand_objects_come_in_pages(api: KubeApi) -> None:
    grow(api, *[f"m{number}" for number in range(5000)])
    with watching(api) as watched:
        watched.settle(seconds=30)
        assert len(watched.store) == 5000
        assert api.requests[f"list {SERVICES}"] == 10


def test_a_list_whose_continuation_expires_starts_over(api: KubeApi) -> None:
    grow(api, *[f"m{number}" for number in range(30)])
    api.inject(Fault("list", status=410, only=lambda query: "continue" in query))
    with watching(api, timing=QUICK._replace(page=10)) as watched:
        watched.settle()
        lists = [query for verb, query in api.queries if verb == f"list {SERVICES}"]
        assert ["limit" in query for query in lists] == [True, True, False], "the second try comes in one piece"


@pytest.mark.parametrize(
    "fault",
    [Fault("watch", status=410), Fault("watch", error_event=410)],
    ids=["as a status", "as an event"],
)
def test_gone_means_a_fresh_list_and_no_empty_moment(api: KubeApi, fault: Fault) -> None:
    grow(api, "a", "b")
    api.inject(fault)
    with watching(api) as watched:
        watched.settle()
        until(lambda: api.requests[f"list {SERVICES}"] == 2, what="it listed again")
        grow(api, "c")
        watched.settle()


def test_a_version_that_was_compacted_away_during_an_outage_is_recovered(api: KubeApi) -> None:
    grow(api, "a", "b", "c")
    with watching(api) as watched:
        watched.settle()
        watch_open(api)
        watched.keep = {("llm", "a"), ("llm", "c")}
        api.inject(*[Fault("watch", status=503) for _ in range(3)])
        api.cut_watches()
        api.delete(SERVICES, "llm", "b")
        grow(api, "d")
        api.compact()
        watched.settle("the relist removed what was deleted meanwhile")
        assert sorted(name for _, name in watched.store.snapshot()) == ["a", "c", "d"]


def test_a_connection_cut_in_the_middle_of_a_line_resumes_and_loses_nothing(api: KubeApi) -> None:
    grow(api, "a")
    api.inject(Fault("watch", cut_after=1))
    with watching(api) as watched:
        watched.settle()
        watch_open(api)
        grow(api, "b", "c", "d")
        watched.settle()
        watch_open(api, 2)
        assert api.requests[f"list {SERVICES}"] == 1, "resumed, not listed again"


def test_a_connection_that_falls_silent_is_given_up_and_resumed(api: KubeApi) -> None:
    grow(api, "a")
    api.inject(Fault("watch", silent=True))
    with watching(api, timing=QUICK._replace(watch=1)) as watched:
        watched.settle()
        watch_open(api)
        grow(api, "b")
        watched.settle("the change behind the silence is found")
        assert api.requests[f"list {SERVICES}"] == 1


def test_a_watch_that_ends_quietly_goes_on_from_its_bookmark(api: KubeApi) -> None:
    grow(api, "a")
    with watching(api, timing=QUICK._replace(watch=1)) as watched:
        watched.settle()
        api.put("configmaps", registry("[]"))  # moves the cluster's version, is no event of this kind
        watch_open(api, 2)
        versions = [int(query["resourceVersion"]) for verb, query in api.queries if verb == f"watch {SERVICES}"]
        assert versions[1] == versions[0] + 1, "the bookmark's version, not the last event's"
        grow(api, "b")
        watched.settle()
        assert api.requests[f"list {SERVICES}"] == 1


def test_without_any_bookmark_it_works_the_same(api: KubeApi) -> None:
    api.bookmarks = False
    grow(api, "a")
    with watching(api, timing=QUICK._replace(watch=1)) as watched:
        watched.settle()
        watch_open(api, 2)
        grow(api, "b")
        watched.settle()


def test_bursts_of_server_errors_are_ridden_out(api: KubeApi) -> None:
    grow(api, "a")
    api.inject(*[Fault("list", status=500) for _ in range(4)], *[Fault("watch", status=500) for _ in range(4)])
    with watching(api) as watched:
        watched.settle()
        grow(api, "b")
        watched.settle()
        assert watched.state == "live"


def test_a_kind_that_is_installed_later_is_picked_up(api: KubeApi) -> None:
    api.serve(LLM_INFERENCE_SERVICE)
    with watching(api) as watched:
        until(lambda: watched.state == "absent", what="the absence is known")
        assert watched.reflector.has_synced
        api.serve(LLM_INFERENCE_SERVICE, "v1alpha2")
        grow(api, "a")
        watched.settle()


def test_a_kind_that_is_removed_empties_its_store(api: KubeApi) -> None:
    grow(api, "a")
    with watching(api) as watched:
        watched.settle()
        watched.keep.clear()
        watch_open(api)
        api.serve(LLM_INFERENCE_SERVICE)
        until(lambda: watched.state == "absent", what="the removal is known")
        assert len(watched.store) == 0
        api.serve(LLM_INFERENCE_SERVICE, "v1alpha2")
        grow(api, "b")
        watched.settle()


def test_one_wrong_not_found_does_not_empty_the_store(api: KubeApi) -> None:
    grow(api, "a")
    with watching(api) as watched:
        watched.settle()
        watch_open(api)
        api.inject(Fault("watch", status=404), Fault("list", status=404))
        api.cut_watches()
        grow(api, "b")
        watched.settle("back after the odd answers")


@pytest.mark.parametrize(("served", "used"), [(("v1alpha1", "v1alpha2"), "v1alpha2"), (("v1alpha1",), "v1alpha1")])
def test_the_preferred_served_version_is_read(api: KubeApi, served: tuple[str, ...], used: str) -> None:
    api.serve(LLM_INFERENCE_SERVICE, *served)
    with watching(api) as watched:
        watched.settle()
        assert watched.reflector.path == f"/apis/serving.kserve.io/{used}/llminferenceservices"


def test_only_one_named_object_of_one_namespace_is_read(api: KubeApi) -> None:
    api.put("configmaps", registry("[]"))
    api.put("configmaps", registry("[]", name="other"))
    api.put("configmaps", registry("[]", namespace="elsewhere"))
    options = {"namespace": "maas-api", "field_selector": "metadata.name=external-model-registry"}
    with watching(api, kind=CONFIG_MAP, **options) as watched:
        until(lambda: len(watched.store) == 1, what="the registry is read")
        api.put("configmaps", registry("[{id: a, provider: p}]"))
        api.put("configmaps", registry("[]", name="other"))
        until(lambda: "id: a" in str(watched.store.snapshot()), what="its edit is seen")
        assert list(watched.store.snapshot()) == [("maas-api", "external-model-registry")]
        assert api.requests["discover"] == 0


def test_stopping_interrupts_a_blocked_read(api: KubeApi) -> None:
    with watching(api) as watched:
        watched.settle()
        watch_open(api)
    assert threads_named("reflector-") == []


def threads_named(prefix: str) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(prefix)]


def test_stopping_twice_or_before_starting_is_harmless(api: KubeApi) -> None:
    reflector = Watched(api).reflector
    reflector.stop()
    reflector.stop()


def test_it_says_why_it_is_out_of_touch_and_nothing_otherwise(api: KubeApi) -> None:
    api.inject(*[Fault("list", status=403) for _ in range(100_000)])
    with watching(api) as watched:
        until(lambda: "403" in str(watched.reflector.complaints()), what="the refusal is said")
        api.faults.clear()
        watched.settle()
        assert watched.reflector.complaints() == []


def test_bookkeeping_and_pod_templates_are_not_kept_in_memory(api: KubeApi) -> None:
    fat = service("a", metadata={"managedFields": [{"manager": "x"}]})
    fat["spec"]["template"] = {"containers": []}
    fat["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "kept": "yes"}
    api.put(SERVICES, fat)
    with watching(api) as watched:
        watched.settle()
        slim = watched.store.get(("llm", "a"))
    assert slim is not None
    assert "template" not in slim["spec"]
    assert slim["metadata"]["annotations"] == {"kept": "yes"}
    assert "managedFields" not in slim["metadata"]
    assert slim["status"] == fat["status"]


def test_staleness_is_the_time_since_anything_was_heard(api: KubeApi) -> None:
    now = [1000.0]
    with watching(api, clock=lambda: now[0]) as watched:
        watched.settle()
        watch_open(api)
        until(lambda: watched.state == "live", what="the watch is open")
        now[0] += 42
        assert watched.reflector.status()[0].age == 42
        grow(api, "a")
        watched.settle()
        assert watched.reflector.status()[0].age == 0
