"""LLMInferenceServices: which belong to the gateway, which are ready, which address is theirs."""

from __future__ import annotations

from typing import Any

import pytest

from maas_api.models.model import Details, LocalModel, ModelEntry
from maas_api.models.sources.httproutes import RouteIndex, RouteKey
from maas_api.models.sources.kserve import Gateway, choose_url, internal_address, managed_labels, to_entry
from tests.support import crds
from tests.support.objects import CREATED_UNIX, GATEWAY, GATEWAY_NAMESPACE, ON_GATEWAY, route, service

HERE = Gateway(GATEWAY, GATEWAY_NAMESPACE)

PARENT = {"name": GATEWAY, "namespace": GATEWAY_NAMESPACE}
OTHER = {"name": "other", "namespace": GATEWAY_NAMESPACE}


def index(*routes: dict[str, Any]) -> RouteIndex:
    found = RouteIndex()
    for item in routes:
        found.put(RouteKey(0, item["metadata"]["namespace"], item["metadata"]["name"]), item)
    return found


def entry_of(obj: dict[str, Any], *routes: dict[str, Any]) -> ModelEntry:
    mapped = to_entry(obj, HERE, index(*routes))
    assert not mapped.omissions, mapped.omissions
    return mapped.entries[0]


def reason_of(obj: dict[str, Any], *routes: dict[str, Any]) -> str:
    mapped = to_entry(obj, HERE, index(*routes))
    assert not mapped.entries
    return mapped.omissions[0].reason


def http(**content: Any) -> dict[str, Any]:
    return {"route": {"http": content}}


MANAGED = route(labels=managed_labels("opt"))

# (what it says, spec.router, the HTTPRoutes there are, whether it belongs)
MEMBERSHIP: list[tuple[str, dict[str, Any] | None, list[dict[str, Any]], bool]] = [
    ("no router", None, [], False),
    ("an empty router", {}, [], False),
    ("gateway ref", {"gateway": {"refs": [PARENT]}}, [], True),
    ("second gateway ref", {"gateway": {"refs": [OTHER, PARENT]}}, [], True),
    ("gateway ref of another name", {"gateway": {"refs": [OTHER]}}, [], False),
    ("gateway ref of another namespace", {"gateway": {"refs": [{"name": GATEWAY, "namespace": "x"}]}}, [], False),
    ("gateway ref without a namespace means the service's own", {"gateway": {"refs": [{"name": GATEWAY}]}}, [], False),
    ("inline route", http(spec={"parentRefs": [PARENT]}), [], True),
    ("inline route to another gateway", http(spec={"parentRefs": [OTHER]}), [MANAGED], False),
    ("inline route without parents", http(spec={}), [MANAGED], False),
    ("inline route, parent of another kind", http(spec={"parentRefs": [{**PARENT, "kind": "Service"}]}), [], True),
    ("inline route, one section", http(spec={"parentRefs": [{**PARENT, "sectionName": "https"}]}), [], True),
    ("referenced route", http(refs=[{"name": "opt-route"}]), [route()], True),
    ("second referenced route", http(refs=[{"name": "none"}, {"name": "opt-route"}]), [route()], True),
    ("referenced route that is not there", http(refs=[{"name": "opt-route"}]), [], False),
    ("referenced route of another namespace", http(refs=[{"name": "opt-route"}]), [route(namespace="x")], False),
    ("referenced route to another gateway", http(refs=[{"name": "opt-route"}]), [route(gateway="other")], False),
    ("referenced route beside a managed one", http(refs=[{"name": "none"}]), [MANAGED], False),
    ("managed route", http(), [MANAGED], True),
    ("managed route to another gateway", http(), [route(gateway="other", labels=managed_labels("opt"))], False),
    ("managed route of another service", http(), [route(labels=managed_labels("llama"))], False),
    ("managed route with a label missing", http(), [route(labels={"app.kubernetes.io/name": "opt"})], False),
    ("managed route of another namespace", http(), [route(namespace="x", labels=managed_labels("opt"))], False),
    ("a route without http", {"route": {}}, [MANAGED], False),
]


@pytest.mark.parametrize(
    ("router", "routes", "belongs"), [case[1:] for case in MEMBERSHIP], ids=[case[0] for case in MEMBERSHIP]
)
def test_membership(router: dict[str, Any] | None, routes: list[dict[str, Any]], belongs: bool) -> None:
    mapped = to_entry(service(router=router), HERE, index(*routes))
    assert bool(mapped.entries) == belongs
    if not belongs:
        expected = f"not on gateway {HERE}" + (": spec.router is not set" if router is None else "")
        assert mapped.omissions[0].reason == expected


def test_a_reference_without_a_namespace_means_the_services_own() -> None:
    router = {"gateway": {"refs": [{"name": GATEWAY}]}}
    assert entry_of(service(namespace=GATEWAY_NAMESPACE, router=router)).ready


# (what it says, the object, why it is not ready or "")
READINESS: list[tuple[str, dict[str, Any], str]] = [
    ("all conditions true", service(), ""),
    ("no generation", service(generation=None, observed=None), ""),
    ("one condition of several false", service(conditions=[{"type": "Ready", "status": "True"}, {"type": "RouterReady", "status": "False", "reason": "NoGateway"}]), "condition RouterReady is False (NoGateway)"),  # noqa: E501 -- one case, one line
    ("a condition unknown", service(conditions=[{"type": "Ready", "status": "Unknown"}]), "condition Ready is Unknown"),
    ("no conditions", service(conditions=[]), "no conditions yet"),
    ("status of an older generation", service(generation=3, observed=2), "the status is about generation 2, the object is at 3"),  # noqa: E501 -- one case, one line
    ("never observed", service(observed=None), "the status is about generation 0, the object is at 1"),
    ("being deleted", service(metadata={"deletionTimestamp": "2026-03-16T00:00:00Z"}), "being deleted"),
]  # fmt: skip


@pytest.mark.parametrize(("obj", "why"), [case[1:] for case in READINESS], ids=[case[0] for case in READINESS])
def test_readiness_is_said_and_an_unready_model_stays_listed(obj: dict[str, Any], why: str) -> None:
    entry = entry_of(obj)
    assert (entry.ready, entry.unready) == (not why, why)


def named(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "url": f"https://{name or 'plain'}/"} for name in names]


# (what it says, the status, the URL listed, the address inside the cluster)
ADDRESSES: list[tuple[str, dict[str, Any], str, str]] = [
    ("status.url alone", {"url": "https://a/"}, "https://a/", ""),
    ("address before url", {"url": "https://a/", "address": {"url": "https://b/"}}, "https://b/", "https://b/"),
    ("addresses hide address", {"url": None, "address": {"url": "https://b/"}, "addresses": named("x")}, "https://x/", "https://b/"),
    ("external first", {"addresses": named("x", "gateway-internal", "Gateway-EXTERNAL")}, "https://Gateway-EXTERNAL/", "https://gateway-internal/"),
    ("internal before the rest", {"addresses": named("x", "in-INTERNAL")}, "https://in-INTERNAL/", "https://in-INTERNAL/"),
    ("the given order among equals", {"addresses": named("external-1", "external-2")}, "https://external-1/", ""),
    ("an address without url is passed over", {"addresses": [{"name": "external"}, *named("x")]}, "https://x/", ""),
    ("empty addresses fall back to address", {"addresses": [], "address": {"url": "https://b/"}}, "https://b/", "https://b/"),
    ("a cluster host is inside", {"addresses": [{"url": "https://out/"}, {"url": "https://opt.llm.svc.cluster.local:8000"}]}, "https://out/", "https://opt.llm.svc.cluster.local:8000"),  # noqa: E501 -- one case, one line
    ("a URL that cannot be parsed is not inside", {"addresses": [{"url": "https://[bad"}]}, "https://[bad", ""),
]  # fmt: skip


@pytest.mark.parametrize(("status", "url", "inside"), [c[1:] for c in ADDRESSES], ids=[c[0] for c in ADDRESSES])
def test_address_priority(status: dict[str, Any], url: str, inside: str) -> None:
    obj = service(**status)
    assert (choose_url(obj), internal_address(obj)) == (url, inside)
    assert entry_of(obj).url == url


def test_a_service_without_any_address_is_left_out_and_says_so() -> None:
    assert reason_of(service(url=None)) == "no address: status has no url, address or addresses"


def test_an_entry_has_what_the_object_says() -> None:
    notes = {
        "opendatahub.io/genai-use-case": " chat ",
        "openshift.io/description": "Small",
        "openshift.io/display-name": "OPT",
        "opendatahub.io/context-window": "2048",
        "opendatahub.io/model-capabilities": '["text"]',
    }
    obj = service(
        addresses=[{"name": "workload-internal", "url": "http://10.0.0.1:8000"}], metadata={"annotations": notes}
    )
    assert entry_of(obj) == ModelEntry(
        id="facebook/opt-125m",
        created=CREATED_UNIX,
        owned_by="llm",
        ready=True,
        source="llminferenceservices",
        origin="llm/opt",
        url="http://10.0.0.1:8000",
        details=Details("chat", "Small", "OPT", "2048", ("text",)),
        namespace="llm",
        local=LocalModel("opt", "llm", "/llm/opt/", "http://10.0.0.1:8000"),
    )


@pytest.mark.parametrize("bad", ["", "not json", '{"a":1}', "[1]"])
def test_capabilities_that_are_no_list_of_text_are_left_out(bad: str) -> None:
    obj = service(metadata={"annotations": {"opendatahub.io/model-capabilities": bad}})
    assert entry_of(obj).details == Details()


def test_the_id_is_the_models_name_or_else_the_services() -> None:
    assert entry_of(service(model="a/b")).id == "a/b"
    assert entry_of(service(model=None)).id == "opt"


def test_aliases_are_the_adapters_and_the_names_its_addresses_list() -> None:
    listed = [{"name": "publishers/llm/models/opt"}, {"name": "facebook/opt-125m"}, {"name": "sql"}]
    obj = service(adapters=["sql", "chat"], addresses=[{"name": "external", "url": "https://a/", "models": listed}])
    assert entry_of(obj).aliases == ("sql", "chat", "publishers/llm/models/opt")


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"metadata": None, "spec": None, "status": None},
        {"metadata": {"name": 5, "namespace": []}, "spec": {"router": ON_GATEWAY, "model": []}, "status": "x"},
        {"metadata": {"name": "x"}, "spec": {"router": {"gateway": {"refs": "x"}, "route": []}}},
        {"metadata": {"name": "x"}, "spec": {"router": ON_GATEWAY}, "status": {"addresses": [1], "conditions": {}}},
    ],
)
def test_an_object_of_any_shape_is_left_out_and_never_a_crash(odd: dict[str, Any]) -> None:
    assert reason_of(odd)


def test_every_fixture_is_one_the_api_server_would_take() -> None:
    objects = [service(router=router) for _, router, _, _ in MEMBERSHIP]
    objects += [obj for _, obj, _ in READINESS]
    objects += [service(**status) for _, status, _, _ in ADDRESSES]
    objects += [item for _, _, routes, _ in MEMBERSHIP for item in routes]
    for obj in objects:
        assert crds.errors(obj) == [], obj
