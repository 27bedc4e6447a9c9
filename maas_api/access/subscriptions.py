"""What a caller's subscriptions open: MaaSModelRefs, and the models in the cluster that those stand for.

The same facts as ``subscriptions/select`` tells a gateway's policy: the subscription is the caller's and in service,
it includes the model (with its limits in force where it has any), and a MaaSAuthPolicy opens the model to the caller.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cached_property
from typing import Final, NamedTuple

from cachetools import LRUCache

from maas_api import errors
from maas_api.access.caller import UNLIMITED, Limited
from maas_api.access.decision import References, SubscriptionLabel
from maas_api.identity.headers import Identity
from maas_api.subscriptions.directory import Directory, State
from maas_api.subscriptions.listing import NO_STORE
from maas_api.subscriptions.model import ACTIVE, DEGRADED, FAILED, ModelKey, Policy, Subscription

_OPENED_KEPT: Final = 100_000  # models that grants of one state remember as open, together: about 20 MB
_GRANTS_AT_LEAST: Final = 16


class Visibility:
    """Implements :class:`~maas_api.access.caller.SubscriptionAccess` over the directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._kept: tuple[State | None, LRUCache[_Held, Grant]] = None, LRUCache(1)
        self._lock = threading.Lock()

    def grant(self, who: Identity, requested: str, *, api_key: bool) -> Grant | None:
        """What the caller's subscriptions open.

        An API key has what the subscription bound to it opens; a platform user the same for one they name, else the
        union of what they can use. A named subscription that refers to no model opens every one, as in the Go service.
        None where the kind does not exist. Raises ApiError 403 permission_error, 503 before the first state.
        """
        state = self._directory.state
        if state is None:
            if self._directory.known:
                return None
            raise errors.sdk(503, "Subscriptions are not known yet, try again", headers=NO_STORE)
        if api_key and not requested:
            raise errors.sdk(403, "API key has no subscription bound")
        if requested:
            return self._grant(state, _Held((_named(state, who, requested),), state.policies(who), api_key))
        usable = tuple(item for item in state.owned(who) if item.usable and item.models)
        return self._grant(state, _Held(usable, state.policies(who), False))

    def _grant(self, state: State, held: _Held) -> Grant:
        """The grant of everybody who holds the same. What it opens is then worked out once."""
        with self._lock:
            if self._kept[0] is not state:
                self._kept = state, LRUCache(max(_GRANTS_AT_LEAST, _OPENED_KEPT // (1 + len(state.models))))
            grants = self._kept[1]
            found = grants.get(held)
            if found is None:
                found = grants[held] = Grant(state, held)
            return found

    def limits(self, who: Identity, requested: str, reference: str, path_prefix: str) -> Limited:
        """See the protocol. Of several that a platform user did not choose among, the preferred one's."""
        state = self._directory.state
        if state is None or not state.limited:
            return UNLIMITED
        held = [_named(state, who, requested)] if requested else [item for item in state.owned(who) if item.usable]
        namespace, _, name = reference.partition("/")
        keys = (ModelKey(namespace, name),) if reference else tuple(_behind(state, path_prefix))
        for item in held:
            for key in keys:
                ref = item.includes(key)
                if ref is not None and state.authorizes(who, key):
                    shown = item.name if len(state.by_name[item.name]) == 1 else item.qualified
                    return Limited(shown, str(key), ref.limits)
        return UNLIMITED


class _Held(NamedTuple):
    """What makes one grant differ from another of the same state: subscriptions and policies of the caller.

    ``bound``: the credential is a key, which calls in the cluster only what its subscription opens. A platform user's
    rights there are those of the cluster (the namespace check), not a subscription's.
    """

    subscriptions: tuple[Subscription, ...]
    policies: tuple[Policy, ...]
    bound: bool

    def __hash__(self) -> int:
        return hash((*map(id, self.subscriptions), *map(id, self.policies), self.bound))


class Grant:
    """Implements :class:`~maas_api.access.caller.SubscriptionGrant`. Immutable but for what it remembers."""

    def __init__(self, state: State, held: _Held) -> None:
        self._state = state
        self._policies = held.policies
        self._held = sorted(held.subscriptions, key=lambda item: (item.name, item.namespace))
        self._bound = held.bound
        self._opened: tuple[frozenset[str], References] | None = None

    def opened(self, references: frozenset[str]) -> References:
        """See the protocol. Worked out anew where another set of them is asked about than the last time."""
        known = self._opened
        if known is None or known[0] is not references:
            found = frozenset((place, by) for place in references if (by := self.by(place)))
            known = self._opened = references, found
        return known[1]

    def by(self, reference: str) -> tuple[SubscriptionLabel, ...]:
        """See the protocol. In name order."""
        namespace, _, name = reference.partition("/")
        key = ModelKey(namespace, name)
        return tuple(
            SubscriptionLabel(item.name, item.display_name, item.description)
            for item in self._held
            if self._includes(item, key)
        )

    def paths(self) -> frozenset[str] | None:
        """See the protocol."""
        return self._paths

    @cached_property
    def _paths(self) -> frozenset[str] | None:
        if not self._bound or not all(item.models for item in self._held):
            return None
        keys = (key for item in self._held for key in item.by_key if self._includes(item, key))
        return frozenset(path for key in keys if (path := _path(self._state, key)))

    def opens_path(self, path_prefix: str) -> bool:
        """See the protocol."""
        if not self._bound:
            return True
        keys = tuple(_behind(self._state, path_prefix))
        return any(not item.models or any(self._includes(item, key) for key in keys) for item in self._held)

    def _includes(self, item: Subscription, key: ModelKey) -> bool:
        if not item.models:
            return item.phase in (ACTIVE, DEGRADED)
        ref = item.includes(key)
        return ref is not None and item.serves(ref) and any(key in policy.models for policy in self._policies)


def _path(state: State, key: ModelKey) -> str:
    """The route of what a MaaSModelRef stands for. One that nobody has read stands for the service of its name."""
    info = state.models.get(key)
    target = key if info is None else info.target
    return "" if target is None else f"/{target.namespace}/{target.name}/"


def _behind(state: State, path_prefix: str) -> Iterator[ModelKey]:
    """The MaaSModelRefs that stand for what is served at a path."""
    _, namespace, name, _ = path_prefix.split("/", 3)
    key = ModelKey(namespace, name)
    yield from state.by_target.get(key, ())
    if key not in state.models:
        yield key


def _named(state: State, who: Identity, requested: str) -> Subscription:
    if not state.subscriptions:
        raise errors.sdk(403, "no matching subscription found for user", headers=NO_STORE)
    found = state.named(requested)
    if len(found) != 1 or not state.owns(who, found[0]):
        raise errors.sdk(403, "access denied to requested subscription", headers=NO_STORE)
    if found[0].phase in ("", FAILED):
        # The Go service says 500 here; a subscription that is not ready is not a fault of this server.
        raise errors.sdk(403, "requested subscription is not ready", headers=NO_STORE)
    return found[0]
