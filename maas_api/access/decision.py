"""The rule: which model is open to which caller. Pure; the listing is every model for which :func:`closed` is None."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple, Protocol

from maas_api.access.allowlist import allows


class SubscriptionLabel(NamedTuple):
    """How a listed model names a subscription that opens it."""

    name: str
    display_name: str
    description: str


References = frozenset[tuple[str, tuple[SubscriptionLabel, ...]]]
"""MaaSModelRefs (``namespace/name``), each with the subscriptions that open it."""


class Scope(NamedTuple):
    """What one kind of caller may see and call. Callers with equal scopes share one view of the listing.

    ``groups``: those of the caller's that any model names. ``models``: the key's allow-list, None for all.
    ``namespaces``: those whose models the caller may use, None when that is not checked. ``references``: the
    MaaSModelRefs (``namespace/name``) that the caller's subscriptions open and how those are named, None when
    subscriptions do not restrict; other sources' models are not concerned.
    """

    groups: frozenset[str] = frozenset()
    models: tuple[str, ...] | None = None
    namespaces: frozenset[str] | None = None
    references: References | None = None


PUBLIC = Scope()
"""A caller without a group that matters and without an allow-list, where namespaces are not checked."""


class Model(Protocol):
    """What the rule asks of a model. ``reference``: its MaaSModelRef as ``namespace/name``, "" for other sources."""

    @property
    def id(self) -> str: ...
    @property
    def groups(self) -> frozenset[str]: ...
    @property
    def namespace(self) -> str: ...
    @property
    def reference(self) -> str: ...


class Closed(Enum):
    """Why a model is not open to a caller."""

    ALLOW_LIST = "the key is limited to other models"
    SUBSCRIPTION = "no subscription of the caller opens it"
    GROUPS = "it is for groups that the caller is not in"
    NAMESPACE = "the caller has no access to its namespace"


def closed(model: Model, scope: Scope, opened: Mapping[str, object] | None) -> Closed | None:
    """Why ``model`` is closed to callers of ``scope``; None where it is open to them.

    ``opened`` is ``scope.references`` as a mapping, made once for many models.
    """
    if not allows(scope.models, model.id):
        return Closed.ALLOW_LIST
    if opened is not None and model.reference and model.reference not in opened:
        return Closed.SUBSCRIPTION
    if model.groups and model.groups.isdisjoint(scope.groups):
        return Closed.GROUPS
    if scope.namespaces is not None and model.namespace and model.namespace not in scope.namespaces:
        return Closed.NAMESPACE
    return None
