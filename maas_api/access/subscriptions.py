"""What a caller's subscriptions open: MaaSModelRefs, and the models in the cluster that those stand for.

The same facts as ``subscriptions/select`` tells a gateway's policy: the subscription is the caller's and in service,
it includes the model (with its limits in force where it has any), and a MaaSAuthPolicy opens the model to the caller.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from maas_api import errors
from maas_api.access.caller import UNLIMITED, Limited
from maas_api.access.decision import SubscriptionLabel
from maas_api.identity.headers import Identity
from maas_api.subscriptions.directory import Directory, State
from maas_api.subscriptions.listing import NO_STORE
from maas_api.subscriptions.model import ACTIVE, DEGRADED, FAILED, ModelKey, Subscription


class Visibility:
    """Implements :class:`~maas_api.access.caller.SubscriptionAccess` over the directory."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

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
        if not requested:
            return Grant(state, who, [item for item in state.owned(who) if item.usable and item.models], bound=False)
        chosen = _named(state, who, requested)
        return Grant(state, who, [chosen], bound=api_key)

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


class Grant:
    """Implements :class:`~maas_api.access.caller.SubscriptionGrant`.

    ``bound``: the credential is a key, which calls in the cluster only what its subscription opens. A platform user's
    rights there are those of the cluster (the namespace check), not a subscription's.
    """

    def __init__(self, state: State, who: Identity, held: Sequence[Subscription], *, bound: bool) -> None:
        self._state = state
        self._who = who
        self._held = sorted(held, key=lambda item: (item.name, item.namespace))
        self._bound = bound

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
        return ref is not None and item.serves(ref) and self._state.authorizes(self._who, key)


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
