"""From a caller to the scope the rule decides by: what narrows it is asked here, once a request."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from maas_api.access.decision import References, Scope, SubscriptionLabel
from maas_api.identity.headers import Identity


class Caller(NamedTuple):
    """Who asks. ``models``: the key's allow-list, None without one. ``subscription``: the one bound to the key or
    named by the user, "" for none. ``api_key``: whether the credential is a key, not a platform token."""

    who: Identity
    models: tuple[str, ...] | None
    subscription: str
    api_key: bool


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


class OpenedModels(Protocol):
    """The MaaSModelRefs that a caller's subscriptions open."""

    def by(self, reference: str) -> tuple[SubscriptionLabel, ...]:
        """The subscriptions that open ``namespace/name``; empty where none does."""


class SubscriptionAccess(Protocol):
    """Which MaaSModelRefs a caller may see, by their subscriptions."""

    def restriction(self, who: Identity, requested: str, *, api_key: bool) -> OpenedModels | None:
        """What the caller's subscriptions open; None: no restriction. Raises ApiError."""


class Access:
    """Scopes of callers. ``namespaces`` is None where they are not checked, ``subscriptions`` where MaaSModelRefs
    are not a source."""

    def __init__(
        self, namespaces: NamespaceAccess | None = None, subscriptions: SubscriptionAccess | None = None
    ) -> None:
        self._namespaces = namespaces
        self._subscriptions = subscriptions

    def scope(self, caller: Caller, universe: Universe) -> Scope:
        """What the caller may see. Raises ApiError for a subscription that cannot be selected."""
        groups = universe.groups.intersection(caller.who.groups) if universe.groups else frozenset()
        allowed = None if self._namespaces is None else self._namespaces.visible(caller.who, universe.namespaces)
        return Scope(groups, caller.models, allowed, self._references(caller, universe))

    def _references(self, caller: Caller, universe: Universe) -> References | None:
        if self._subscriptions is None:
            return None
        opened = self._subscriptions.restriction(caller.who, caller.subscription, api_key=caller.api_key)
        if opened is None:
            return None
        return frozenset((place, by) for place in universe.references if (by := opened.by(place)))
