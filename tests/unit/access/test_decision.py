"""The one rule, case by case: what closes a model, and that nothing else does."""

from __future__ import annotations

import dataclasses

import pytest

from maas_api.access.decision import PUBLIC, Closed, Scope, ScopeGrants, closed


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the rule asks of a model."""

    names: tuple[str, ...] = ("m",)
    groups: frozenset[str] = frozenset()
    namespace: str = ""
    reference: str = ""
    provider: str = ""
    path_prefix: str = ""


ML = frozenset({"ml"})
REFERENCE = Facts(reference="llm/m", namespace="llm")
CASES: dict[str, tuple[Facts, Scope, Closed | None]] = {
    "nothing narrows": (Facts(), PUBLIC, None),
    "on the allow-list": (Facts(), Scope(models=("m",)), None),
    "under a prefix of the allow-list": (Facts(("m-1",)), Scope(models=("m-*",)), None),
    "not on the allow-list": (Facts(), Scope(models=("n", "mm")), Closed.ALLOW_LIST),
    "an empty allow-list": (Facts(), Scope(models=()), Closed.ALLOW_LIST),
    "one of its groups": (Facts(groups=ML), Scope(groups=frozenset({"ml", "x"})), None),
    "none of its groups": (Facts(groups=ML), Scope(groups=frozenset({"x"})), Closed.GROUPS),
    "no group at all": (Facts(groups=ML), PUBLIC, Closed.GROUPS),
    "its namespace is open": (Facts(namespace="llm"), Scope(namespaces=frozenset({"llm"})), None),
    "its namespace is closed": (Facts(namespace="llm"), Scope(namespaces=frozenset()), Closed.NAMESPACE),
    "namespaces are not checked": (Facts(namespace="llm"), Scope(namespaces=None), None),
    "outside every namespace": (Facts(), Scope(namespaces=frozenset()), None),
    "its subscription is the caller's": (REFERENCE, Scope(references=frozenset({("llm/m", ())})), None),
    "no subscription opens it": (REFERENCE, Scope(references=frozenset({("llm/n", ())})), Closed.SUBSCRIPTION),
    "subscriptions do not restrict": (REFERENCE, Scope(references=None), None),
    "not a MaaSModelRef": (Facts(), Scope(references=frozenset()), None),
    "another of its names is on the allow-list": (Facts(("n", "m")), Scope(models=("m",)), None),
    "the key's subscription opens its route": (Facts(path_prefix="/a/b/"), Scope(paths=frozenset({"/a/b/"})), None),
    "the key's subscription opens other routes": (
        Facts(path_prefix="/a/b/"),
        Scope(paths=frozenset({"/a/c/"})),
        Closed.SUBSCRIPTION,
    ),
    "no route to open": (Facts(), Scope(paths=frozenset()), None),
    "the provider asked about": (Facts(provider="p"), Scope(provider="p"), None),
    "another provider": (Facts(provider="q"), Scope(provider="p"), Closed.ELSEWHERE),
    "in the cluster, where a provider is asked about": (Facts(), Scope(provider="p"), Closed.ELSEWHERE),
    "what it is for comes before what the key is for": (Facts(groups=ML), Scope(models=()), Closed.GROUPS),
}


@pytest.mark.parametrize(("model", "scope", "expected"), CASES.values(), ids=CASES.keys())
def test_a_model_is_open_unless_one_rule_closes_it(model: Facts, scope: Scope, expected: Closed | None) -> None:
    assert closed(model, ScopeGrants(scope)) is expected


def test_what_one_rule_opens_another_still_closes() -> None:
    model = Facts(groups=ML, namespace="llm", reference="llm/m")
    everything = Scope(ML, ("m",), frozenset({"llm"}), frozenset({("llm/m", ())}))
    assert closed(model, ScopeGrants(everything)) is None
    for narrowed in (
        everything._replace(groups=frozenset()),
        everything._replace(models=("n",)),
        everything._replace(namespaces=frozenset()),
        everything._replace(references=frozenset()),
    ):
        assert closed(model, ScopeGrants(narrowed)) is not None
