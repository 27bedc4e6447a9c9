"""The rule: which model is open to which caller. Pure.

It is read three ways. The listing shows every model for which :func:`closed` is None; the authorizer asks it for the
one model of a call; the callback asks it when it is told the model. So what is listed can be called, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from functools import cached_property
from typing import NamedTuple, Protocol

from maas_api.access.allowlist import permits


class SubscriptionLabel(NamedTuple):
    """How a listed model names a subscription that opens it."""

    name: str
    display_name: str
    description: str


class Model(Protocol):
    """What the rule asks of a model.

    ``provider``: the outside provider that runs it, "" for a model in the cluster. ``reference``: its MaaSModelRef as
    ``namespace/name``, "" for other sources. ``path_prefix``: the route of a model in the cluster,
    ``/<namespace>/<name>/``, "" without one.
    """

    @property
    def names(self) -> Sequence[str]:
        """Its id, and the other names it goes by."""

    @property
    def provider(self) -> str: ...
    @property
    def groups(self) -> frozenset[str]: ...
    @property
    def namespace(self) -> str: ...
    @property
    def reference(self) -> str: ...
    @property
    def path_prefix(self) -> str: ...


class Grants(Protocol):
    """What a caller holds. ``models`` is the key's allow-list (None: all), ``provider`` the one provider whose models
    are asked about ("": every source's)."""

    @property
    def models(self) -> tuple[str, ...] | None: ...
    @property
    def provider(self) -> str: ...
    def in_group(self, groups: frozenset[str]) -> bool:
        """Whether the caller is in one of them."""

    def in_namespace(self, namespace: str) -> bool:
        """Whether the caller may use a namespace's models."""

    def opens_reference(self, reference: str) -> bool:
        """Whether the caller's subscriptions open a MaaSModelRef."""

    def opens_path(self, path_prefix: str) -> bool:
        """Whether the caller's subscription opens what is served at a path in the cluster."""


class Closed(Enum):
    """Why a model is not open to a caller."""

    ELSEWHERE = "it is not this provider's"
    ALLOW_LIST = "the key is limited to other models"
    SUBSCRIPTION = "no subscription of the caller opens it"
    GROUPS = "it is for groups that the caller is not in"
    NAMESPACE = "the caller has no access to its namespace"


def closed(model: Model, grants: Grants) -> Closed | None:
    """Why ``model`` is closed to whoever holds ``grants``; None where it is open to them.

    The allow-list comes last: that a model exists is told only to those whom nothing else keeps from it.
    """
    if grants.provider and model.provider != grants.provider:
        return Closed.ELSEWHERE
    if model.reference and not grants.opens_reference(model.reference):
        return Closed.SUBSCRIPTION
    if model.path_prefix and not grants.opens_path(model.path_prefix):
        return Closed.SUBSCRIPTION
    if model.groups and not grants.in_group(model.groups):
        return Closed.GROUPS
    if model.namespace and not grants.in_namespace(model.namespace):
        return Closed.NAMESPACE
    if grants.models is not None and not permits(grants.models, model.names):
        return Closed.ALLOW_LIST
    return None


References = frozenset[tuple[str, tuple[SubscriptionLabel, ...]]]
"""MaaSModelRefs (``namespace/name``), each with the subscriptions that open it."""


class Scope(NamedTuple):
    """The grants of one kind of caller as values: callers with equal scopes share one view of the listing.

    ``groups``: those of the caller's that any model names. ``models``: the key's allow-list, None for all.
    ``namespaces``: those whose models the caller may use, None when that is not checked. ``references``: the
    MaaSModelRefs that the caller's subscriptions open and how those are named, ``paths``: the routes in the cluster
    that the key's subscription opens; each None when subscriptions do not restrict. ``provider``: see Grants.
    """

    groups: frozenset[str] = frozenset()
    models: tuple[str, ...] | None = None
    namespaces: frozenset[str] | None = None
    references: References | None = None
    paths: frozenset[str] | None = None
    provider: str = ""


PUBLIC = Scope()
"""A caller without a group that matters and without an allow-list, where nothing else is checked."""


class ScopeGrants:
    """A scope as the rule asks for it."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self.models = scope.models
        self.provider = scope.provider

    @cached_property
    def labels(self) -> Mapping[str, tuple[SubscriptionLabel, ...]]:
        """The subscriptions that open each MaaSModelRef; empty where they do not restrict."""
        return dict(self._scope.references or ())

    def in_group(self, groups: frozenset[str]) -> bool:
        """See :class:`Grants`."""
        return not groups.isdisjoint(self._scope.groups)

    def in_namespace(self, namespace: str) -> bool:
        """See :class:`Grants`."""
        return self._scope.namespaces is None or namespace in self._scope.namespaces

    def opens_reference(self, reference: str) -> bool:
        """See :class:`Grants`."""
        return self._scope.references is None or reference in self.labels

    def opens_path(self, path_prefix: str) -> bool:
        """See :class:`Grants`."""
        return self._scope.paths is None or path_prefix in self._scope.paths
