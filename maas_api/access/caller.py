"""From a caller to the grants the rule decides by: what narrows it is asked here, once a request."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from maas_api.access.decision import Grants, Model, References, Scope, SubscriptionLabel
from maas_api.identity.headers import Identity
from maas_api.subscriptions.model import TokenRateLimit


class Caller(NamedTuple):
    """Who asks. ``models``: the key's allow-list, None without one. ``subscription``: the one bound to the key or
    named by the user, "" for none. ``api_key``: whether the credential is a key, not a platform token."""

    who: Identity
    models: tuple[str, ...] | None
    subscription: str
    api_key: bool


class Limited(NamedTuple):
    """What a subscription allows each of its users of one model. ``subscription``: its name, ``namespace/name`` where
    several go by it; ``reference``: the MaaSModelRef that stands for the model, ``namespace/name``."""

    subscription: str = ""
    reference: str = ""
    limits: tuple[TokenRateLimit, ...] = ()


UNLIMITED = Limited()


class Universe(Protocol):
    """What there is to open: every group, namespace and MaaSModelRef that some model names."""

    @property
    def groups(self) -> frozenset[str]: ...
    @property
    def namespaces(self) -> frozenset[str]: ...
    @property
    def references(self) -> frozenset[str]: ...


class NamespaceAccess(Protocol):
    """Which namespaces' models a caller may see. Never blocks: what is not known yet counts as no."""

    def visible(self, who: Identity, namespaces: frozenset[str]) -> frozenset[str]:
        """Those of ``namespaces`` the caller is known to have access to."""


class SubscriptionGrant(Protocol):
    """What the subscriptions of one caller open."""

    def by(self, reference: str) -> tuple[SubscriptionLabel, ...]:
        """The subscriptions that open a MaaSModelRef (``namespace/name``); empty where none does."""

    def opened(self, references: frozenset[str]) -> References:
        """Those of all MaaSModelRefs that are open, each with the subscriptions that open it."""

    def paths(self) -> frozenset[str] | None:
        """The open routes in the cluster (``/<namespace>/<name>/``); None where they are not restricted."""

    def opens_path(self, path_prefix: str) -> bool:
        """Whether a route is among them, at a cost that does not grow with their number."""


class SubscriptionAccess(Protocol):
    """What callers' subscriptions open."""

    def grant(self, who: Identity, requested: str, *, api_key: bool) -> SubscriptionGrant | None:
        """None: subscriptions do not restrict. Raises ApiError for a subscription that cannot be selected."""

    def limits(self, who: Identity, requested: str, reference: str, path_prefix: str) -> Limited:
        """What the subscription that a call counts against allows of a model, which is told by its MaaSModelRef or, in
        the cluster, by its route. Raises likewise."""


class Access:
    """Grants of callers. ``namespaces`` is None where they are not checked, ``subscriptions`` where there are none."""

    def __init__(
        self, namespaces: NamespaceAccess | None = None, subscriptions: SubscriptionAccess | None = None
    ) -> None:
        self._namespaces = namespaces
        self._subscriptions = subscriptions

    def scope(self, caller: Caller, universe: Universe, *, provider: str = "") -> Scope:
        """What the caller may see. Raises ApiError for a subscription that cannot be selected."""
        groups = universe.groups.intersection(caller.who.groups) if universe.groups else frozenset()
        allowed = None if self._namespaces is None else self._namespaces.visible(caller.who, universe.namespaces)
        grant = self._grant(caller)
        if grant is None:
            return Scope(groups, caller.models, allowed, provider=provider)
        return Scope(groups, caller.models, allowed, grant.opened(universe.references), grant.paths(), provider)

    def grants(self, caller: Caller, *, provider: str = "") -> Grants:
        """The same, asked for one model: nothing in it grows with the number of models. Raises ApiError likewise."""
        return _Asked(caller, provider, self._namespaces, self._grant(caller))

    def limits(self, caller: Caller, model: Model) -> Limited:
        """What the caller's subscription allows of a model that is open to them."""
        if self._subscriptions is None or not (model.reference or model.path_prefix):
            return UNLIMITED
        return self._subscriptions.limits(caller.who, caller.subscription, model.reference, model.path_prefix)

    def _grant(self, caller: Caller) -> SubscriptionGrant | None:
        if self._subscriptions is None:
            return None
        return self._subscriptions.grant(caller.who, caller.subscription, api_key=caller.api_key)


class _Asked:
    """Grants that are looked up as the rule asks for them."""

    def __init__(
        self, caller: Caller, provider: str, namespaces: NamespaceAccess | None, grant: SubscriptionGrant | None
    ) -> None:
        self._who = caller.who
        self._namespaces = namespaces
        self._grant = grant
        self.models = caller.models
        self.provider = provider

    def in_group(self, groups: frozenset[str]) -> bool:
        return not groups.isdisjoint(self._who.groups)

    def in_namespace(self, namespace: str) -> bool:
        return self._namespaces is None or bool(self._namespaces.visible(self._who, frozenset((namespace,))))

    def opens_reference(self, reference: str) -> bool:
        return self._grant is None or bool(self._grant.by(reference))

    def opens_path(self, path_prefix: str) -> bool:
        return self._grant is None or self._grant.opens_path(path_prefix)
