"""The last known subscriptions and policies, indexed by who owns them; replaced whole when the objects change."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from maas_api.identity.headers import Identity
from maas_api.subscriptions import model
from maas_api.subscriptions.model import ModelInfo, ModelKey, ModelRef, ObjectError, Policy, Raw, Subscription

log = logging.getLogger(__name__)

K = TypeVar("K")
T = TypeVar("T")


class LeftOut(NamedTuple):
    """An object that was left out, and why."""

    kind: str
    namespace: str
    name: str
    reason: str


class State(NamedTuple):
    """One consistent state. Immutable; a caller takes it once per request and asks it everything."""

    subscriptions: tuple[Subscription, ...]
    """Every subscription, the preferred first (see ``Subscription.rank``)."""
    owners_by_user: Mapping[str, tuple[int, ...]]
    owners_by_group: Mapping[str, tuple[int, ...]]
    by_name: Mapping[str, tuple[int, ...]]
    by_qualified: Mapping[str, int]
    policies_by_user: Mapping[str, tuple[Policy, ...]]
    policies_by_group: Mapping[str, tuple[Policy, ...]]
    models: Mapping[ModelKey, ModelInfo]
    by_target: Mapping[ModelKey, tuple[ModelKey, ...]]
    """MaaSModelRefs by the LLMInferenceService they stand for."""
    problems: tuple[LeftOut, ...]
    limited: bool
    """Whether any subscription limits any model."""

    def owned(self, who: Identity) -> list[Subscription]:
        """The caller's subscriptions, the preferred first. Owner: the exact user name, or any (trimmed) group."""
        found = set(self.owners_by_user.get(who.username, ()))
        for group in who.groups:
            found.update(self.owners_by_group.get(group.strip(), ()))
        return [self.subscriptions[index] for index in sorted(found)]

    def owns(self, who: Identity, subscription: Subscription) -> bool:
        """Whether the caller owns this one."""
        return who.username in subscription.users or any(group.strip() in subscription.groups for group in who.groups)

    def named(self, name: str) -> list[Subscription]:
        """What ``namespace/name`` or a bare name stands for: none, one, or (a bare name) one in each of several
        namespaces."""
        exact = self.by_qualified.get(name)
        if exact is not None:
            return [self.subscriptions[exact]]
        return [self.subscriptions[index] for index in self.by_name.get(name, ())]

    def policies(self, who: Identity) -> tuple[Policy, ...]:
        """The policies that open models to the caller."""
        by_group = (self.policies_by_group.get(group.strip(), ()) for group in who.groups)
        return (*self.policies_by_user.get(who.username, ()), *chain.from_iterable(by_group))

    def authorized(self, who: Identity) -> frozenset[ModelKey]:
        """The models that some policy opens to the caller."""
        return frozenset().union(*(policy.models for policy in self.policies(who)))

    def authorizes(self, who: Identity, key: ModelKey) -> bool:
        """Whether some policy opens one model to the caller."""
        return any(key in policy.models for policy in self.policies(who))

    def visible(self, who: Identity) -> list[tuple[Subscription, tuple[ModelRef, ...]]]:
        """What the caller can use now, in name order: usable subscriptions with the models some policy opens, those
        with none left out."""
        authorized = self.authorized(who)
        found = [
            (subscription, tuple(ref for ref in subscription.models if ref.key in authorized))
            for subscription in self.owned(who)
            if subscription.usable
        ]
        return sorted(
            ((subscription, refs) for subscription, refs in found if refs),
            key=lambda pair: (pair[0].name, pair[0].namespace),
        )

    def find_model(self, subscription: Subscription, text: str) -> ModelRef | None:
        """The subscription's reference that ``text`` stands for: a MaaSModelRef's ``namespace/name``, else the first
        whose model's name (the resolved alias) or own bare name it is. None where there is none.

        A name routed by the request's body has no namespace, and may itself contain slashes.
        """
        namespace, _, name = text.partition("/")
        exact = subscription.includes(ModelKey(namespace, name))
        return exact or next((ref for ref in subscription.models if text in (self.alias(ref.key), ref.key.name)), None)

    def alias(self, key: ModelKey) -> str:
        """The model's name that the controller resolved, or ``""``."""
        info = self.models.get(key)
        return "" if info is None else info.alias


class Memo:
    """What objects were read as: an object that is still the same mapping is not read again."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Raw, Any]] = {}
        self._used: dict[int, tuple[Raw, Any]] = {}

    def read(self, raw: Raw, read: Callable[[Raw], T]) -> T | ObjectError:
        """The object as ``read`` gives it, or the error it raises."""
        held = self._known.get(id(raw))
        if held is None or held[0] is not raw:
            try:
                held = (raw, read(raw))
            except ObjectError as fault:
                held = (raw, fault)
        self._used[id(raw)] = held  # holding the object keeps its id from being given to another
        found: T | ObjectError = held[1]
        return found

    def settle(self) -> None:
        """Forget what was not asked for since the last call."""
        self._known, self._used = self._used, {}


def build(
    subscriptions: Iterable[Raw],
    policies: Iterable[Raw],
    models: Iterable[Raw] = (),
    *,
    namespace: str = "",
    memo: Memo | None = None,
) -> State:
    """The state of raw objects. A bad object is left out and reported in ``problems``; the rest stays.

    ``namespace``: subscriptions and policies elsewhere are ignored (whoever may create one in a namespace of their own
    must not grant themselves models); empty takes every namespace. ``memo``: carried from one call to the next, it
    spares reading what did not change.
    """
    memo = memo or Memo()
    problems: list[LeftOut] = []
    parsed = _parse("MaaSSubscription", subscriptions, model.subscription, namespace, memo, problems)
    ordered = tuple(sorted(parsed, key=lambda item: item.rank))
    granted = _parse("MaaSAuthPolicy", policies, model.policy, namespace, memo, problems)
    infos = _parse("MaaSModelRef", models, model.model_info, "", memo, problems)
    memo.settle()
    return State(
        subscriptions=ordered,
        owners_by_user=_index((user, i) for i, item in enumerate(ordered) for user in item.users),
        owners_by_group=_index((group, i) for i, item in enumerate(ordered) for group in item.groups),
        by_name=_index((item.name, i) for i, item in enumerate(ordered)),
        by_qualified=MappingProxyType({item.qualified: i for i, item in enumerate(ordered)}),
        policies_by_user=_index((user, item) for item in granted for user in item.users),
        policies_by_group=_index((group, item) for item in granted for group in item.groups),
        models=MappingProxyType({info.key: info for info in infos}),
        by_target=_index((info.target, info.key) for info in infos if info.target),
        problems=tuple(problems),
        limited=any(ref.limits for item in ordered for ref in item.models),
    )


def _index(pairs: Iterable[tuple[K, T]]) -> Mapping[K, tuple[T, ...]]:
    found: defaultdict[K, list[T]] = defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return MappingProxyType({key: tuple(values) for key, values in found.items()})


def _parse(
    kind: str, raws: Iterable[Raw], read: Callable[[Raw], T], namespace: str, memo: Memo, problems: list[LeftOut]
) -> list[T]:
    found: list[T] = []
    for raw in raws:
        metadata: Any = raw.get("metadata") if isinstance(raw, Mapping) else None
        metadata = metadata if isinstance(metadata, Mapping) else {}
        if namespace and metadata.get("namespace") != namespace:
            continue
        value = memo.read(raw, read)
        if isinstance(value, ObjectError):
            place, name = (str(metadata.get(field) or "?") for field in ("namespace", "name"))
            problems.append(LeftOut(kind, place, name, str(value)))
        else:
            found.append(value)
    return found


class Directory:
    """Holds the current state. Writers swap one reference, readers take it: no lock, never a half-made state.

    ``state`` is None where the cluster has no MaaSSubscription kind (or there is no cluster). ``known`` is False until
    the first answer of the source: nothing may be decided from a state that nobody has seen yet.
    """

    def __init__(self, *, namespace: str = "", known: bool = False) -> None:
        """``namespace``: see :func:`build`. ``known``: True where no source will ever feed it."""
        self._namespace = namespace
        self._state: State | None = None
        self._known = known
        self._memo = Memo()

    @property
    def known(self) -> bool:
        """Whether the source has answered, if only with "no such kind"."""
        return self._known

    @property
    def state(self) -> State | None:
        """The current state, or None where the kind does not exist."""
        return self._state

    def report(self) -> dict[str, Any]:
        """How much is known, for the readiness probe."""
        state = self._state
        if state is None:
            return {"kind": "absent" if self._known else "unknown"}
        return {"subscriptions": len(state.subscriptions), "problems": len(state.problems)}

    def names_for(self, who: Identity) -> list[str]:
        """The bare names of the subscriptions that the caller may bind a key to, the preferred first."""
        state = self._state
        names = (
            () if state is None else (item.name for item in state.owned(who) if item.phase not in ("", model.FAILED))
        )
        return list(dict.fromkeys(names))

    def complaints(self) -> list[str]:
        """Everything an operator should mend, a sentence each."""
        state = self._state
        return [] if state is None else ["{} {}/{} is left out: {}".format(*problem) for problem in state.problems]

    def update(self, subscriptions: Iterable[Raw], policies: Iterable[Raw], models: Iterable[Raw] = ()) -> None:
        """Replace the state by these raw objects. Objects that are newly bad are logged once."""
        state = build(subscriptions, policies, models, namespace=self._namespace, memo=self._memo)
        before = set(self._state.problems) if self._state else set()
        for problem in state.problems:
            if problem not in before:
                log.warning("%s %s/%s is left out: %s", *problem)
        self._state, self._known = state, True

    def absent(self) -> None:
        """The kind does not exist (not yet, or not any more)."""
        self._state, self._known = None, True
