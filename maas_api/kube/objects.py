"""Kubernetes objects as this service holds them: raw, never mutated, the last known state of each kind.

An :class:`ObjectStore` is filled by a feed (a folder of manifests, or a watch on a cluster) and read by whoever
maps objects. An error of a feed never empties its store: it keeps what was known last.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

Object = Mapping[str, Any]
"""One object as the API server gives it. Holders treat it as frozen: a new state is a new mapping."""

Key = tuple[str, str]
"""(namespace, name)."""


class Kind(NamedTuple):
    """One kind of object. ``versions`` are the ones this service can read, the preferred one first."""

    group: str
    versions: tuple[str, ...]
    plural: str
    kind: str

    @property
    def version(self) -> str:
        """The preferred version."""
        return self.versions[0]

    def matches(self, api_version: str, kind: str) -> bool:
        """Whether an object's ``apiVersion`` and ``kind`` are this kind, in any version of its group."""
        group, _, _ = api_version.rpartition("/")
        return kind == self.kind and group == self.group


LLM_INFERENCE_SERVICE = Kind(
    "serving.kserve.io", ("v1alpha2", "v1alpha1"), "llminferenceservices", "LLMInferenceService"
)
INFERENCE_SERVICE = Kind("serving.kserve.io", ("v1beta1",), "inferenceservices", "InferenceService")
HTTP_ROUTE = Kind("gateway.networking.k8s.io", ("v1", "v1beta1"), "httproutes", "HTTPRoute")
MAAS_MODEL_REF = Kind("maas.opendatahub.io", ("v1alpha1",), "maasmodelrefs", "MaaSModelRef")
MAAS_SUBSCRIPTION = Kind("maas.opendatahub.io", ("v1alpha1",), "maassubscriptions", "MaaSSubscription")
MAAS_AUTH_POLICY = Kind("maas.opendatahub.io", ("v1alpha1",), "maasauthpolicies", "MaaSAuthPolicy")
CONFIG_MAP = Kind("", ("v1",), "configmaps", "ConfigMap")
GROUP = Kind("user.openshift.io", ("v1",), "groups", "Group")

KINDS = (
    LLM_INFERENCE_SERVICE,
    INFERENCE_SERVICE,
    HTTP_ROUTE,
    MAAS_MODEL_REF,
    MAAS_SUBSCRIPTION,
    MAAS_AUTH_POLICY,
    CONFIG_MAP,
    GROUP,
)
"""Every kind this service can read."""


class Origin(NamedTuple):
    """Where an object was read: the file, the line its document starts on (from 1), and for each multi-line text
    in a ConfigMap's ``data`` the line its first content line is on."""

    file: str
    line: int
    text_lines: Mapping[str, int]


class Manifest(dict[str, Any]):
    """An object from a file, which remembers where it came from."""

    __slots__ = ("origin",)

    def __init__(self, content: Mapping[str, Any], origin: Origin) -> None:
        super().__init__(content)
        self.origin = origin


def origin_of(obj: Object) -> Origin | None:
    """Where the object was read, or None for one that came from a cluster."""
    return obj.origin if isinstance(obj, Manifest) else None


def key_of(obj: Object) -> Key:
    """The object's (namespace, name); "" for what it does not have."""
    meta = obj.get("metadata") or {}
    return str(meta.get("namespace") or ""), str(meta.get("name") or "")


FeedState = Literal["waiting", "live", "stale", "absent", "refused"]


class FeedStatus(NamedTuple):
    """How fresh a feed is.

    ``waiting``: nothing known yet. ``live``: in touch. ``stale``: out of touch, what was known last is kept.
    ``absent``: the cluster does not have the kind. ``refused``: this service may not read it and it is not needed; the
    others go on. ``age`` is the seconds since the feed was last in touch.
    """

    name: str
    state: FeedState
    age: float
    detail: str

    @property
    def synced(self) -> bool:
        """Whether the store has held the feed's whole state at least once (an absent kind counts)."""
        return self.state not in ("waiting", "refused")

    @property
    def settled(self) -> bool:
        """Whether there is nothing to wait for: it was read, or it need not be and may not be."""
        return self.state != "waiting"


class Feed(Protocol):
    """What fills stores."""

    def status(self) -> list[FeedStatus]:
        """One line per thing it reads. Safe from any thread, never blocks."""

    def complaints(self) -> list[str]:
        """What could not be read and why, one line each."""


Changed = frozenset[Key]
Subscriber = Callable[[Changed], None]


class ObjectStore:
    """The last known objects of one kind from one feed, by (namespace, name). Safe from any thread."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._lock = threading.Lock()
        self._objects: dict[Key, Object] = {}
        self._subscribers: list[Subscriber] = []

    def subscribe(self, callback: Subscriber) -> None:
        """Call ``callback`` with the changed keys after every change. It runs in the feed's thread: keep it short."""
        with self._lock:
            self._subscribers.append(callback)

    def snapshot(self) -> dict[Key, Object]:
        """A copy of the mapping; the objects are shared."""
        with self._lock:
            return dict(self._objects)

    def get(self, key: Key) -> Object | None:
        """The last known state of one object."""
        with self._lock:
            return self._objects.get(key)

    def __len__(self) -> int:
        return len(self._objects)

    def replace(self, objects: Iterable[Object]) -> None:
        """Make these the whole state. Objects that are not among them are gone; equal ones count as unchanged."""
        fresh = {key_of(obj): obj for obj in objects}
        with self._lock:
            changed = frozenset(
                key for key in self._objects.keys() | fresh.keys() if not _same(self._objects.get(key), fresh.get(key))
            )
            self._objects = {key: self._objects[key] if key not in changed else fresh[key] for key in fresh}
        self._tell(changed)

    def upsert(self, obj: Object) -> None:
        """Add or replace one object."""
        key = key_of(obj)
        with self._lock:
            if _same(self._objects.get(key), obj):
                return
            self._objects[key] = obj
        self._tell(frozenset((key,)))

    def delete(self, key: Key) -> None:
        """Forget one object; nothing happens if it is unknown."""
        with self._lock:
            if self._objects.pop(key, None) is None:
                return
        self._tell(frozenset((key,)))

    def _tell(self, changed: Changed) -> None:
        if changed:
            for callback in tuple(self._subscribers):
                callback(changed)


def _same(old: Object | None, new: Object | None) -> bool:
    """Whether two states are one. Within a cluster equal resourceVersions say so without comparing everything."""
    if old is None or new is None:
        return old is new
    version = (old.get("metadata") or {}).get("resourceVersion")
    if version and version == (new.get("metadata") or {}).get("resourceVersion"):
        return (old.get("metadata") or {}).get("uid") == (new.get("metadata") or {}).get("uid")
    return old == new and origin_of(old) == origin_of(new)
