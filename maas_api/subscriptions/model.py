"""MaaSSubscription, MaaSAuthPolicy and MaaSModelRef objects, read from the raw dicts of the cluster.

Parsing is strict about what lets someone in (owner, subjects, model references): an object that breaks a rule is
refused whole, with the field, the rule and what was received. It is lenient about decoration (annotations, labels).
Shapes follow the CRDs of maas.opendatahub.io/v1alpha1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

DISPLAY_NAME = "openshift.io/display-name"
DESCRIPTION = "openshift.io/description"

ACTIVE, DEGRADED, FAILED = "Active", "Degraded", "Failed"
_INT32_MAX = 2**31 - 1

Raw = Mapping[str, Any]


class ObjectError(ValueError):
    """An object that cannot be used. The message names the field, the rule and what was received."""


class ModelKey(NamedTuple):
    """A MaaSModelRef's place: its namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class TokenRateLimit(NamedTuple):
    """At most ``limit`` tokens in ``window`` (``1m``, ``24h``)."""

    limit: int
    window: str


class ModelRef(NamedTuple):
    """A model that a subscription opens, with its limits and the price of a token (a decimal as text) or None."""

    key: ModelKey
    limits: tuple[TokenRateLimit, ...]
    per_token: str | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One MaaSSubscription.

    ``phase`` is empty until the controller has reconciled the object. ``deleting`` is the deletion timestamp or empty.
    ``enforced`` says per model name whether its rate limits are in force; a model without a status is absent.
    """

    namespace: str
    name: str
    display_name: str = ""
    description: str = ""
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    priority: int = 0
    models: tuple[ModelRef, ...] = ()
    organization_id: str = ""
    cost_center: str = ""
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)
    phase: str = ""
    ready: bool = False
    deleting: str = ""
    enforced: Mapping[str, bool] = dataclasses.field(default_factory=dict)
    by_key: Mapping[ModelKey, ModelRef] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Index the references: one is asked for on every call."""
        object.__setattr__(self, "by_key", {ref.key: ref for ref in reversed(self.models)})

    @property
    def qualified(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"

    @property
    def usable(self) -> bool:
        """Whether the controller serves it (wholly or in part) and it is not going away."""
        return self.phase in (ACTIVE, DEGRADED) and not self.deleting

    @property
    def rank(self) -> tuple[int, int, str, str]:
        """Sorts the preferred one first: higher priority, then higher token limit, then name (then namespace)."""
        highest = max((limit.limit for ref in self.models for limit in ref.limits), default=0)
        return (-self.priority, -highest, self.name, self.namespace)

    def includes(self, key: ModelKey) -> ModelRef | None:
        """The reference to a model, or None where the subscription does not open it."""
        return self.by_key.get(key)

    def serves(self, ref: ModelRef) -> bool:
        """Whether calls to a model pass now: in service, and a degraded one with the model's limits in force."""
        if self.phase == DEGRADED and ref.limits:
            return self.enforced.get(ref.key.name, False)
        return self.phase in (ACTIVE, DEGRADED)


class Policy(NamedTuple):
    """One MaaSAuthPolicy: these users and groups may use these models."""

    users: frozenset[str]
    groups: frozenset[str]
    models: frozenset[ModelKey]


class ModelInfo(NamedTuple):
    """What a MaaSModelRef says about a model.

    ``source`` is ``external``, ``internal`` or empty; ``alias`` is the model's name as the controller resolved it
    (``publishers/<namespace>/models/<name>``) or empty; ``target`` is the LLMInferenceService it
    stands for, None for an external model.
    """

    key: ModelKey
    display_name: str
    description: str
    source: str
    alias: str
    target: ModelKey | None


def subscription(raw: Raw) -> Subscription:
    """A MaaSSubscription. Raises ObjectError."""
    metadata, spec, status = _parts(raw)
    owner = _object(spec, "spec.owner", required=True)
    annotations = _decoration(metadata.get("annotations"))
    billing = spec.get("tokenMetadata")
    billing = billing if isinstance(billing, Mapping) else {}
    return Subscription(
        namespace=_name(metadata, "metadata.namespace"),
        name=_name(metadata, "metadata.name"),
        display_name=annotations.get(DISPLAY_NAME, ""),
        description=annotations.get(DESCRIPTION, ""),
        users=_strings(owner, "spec.owner.users"),
        groups=_group_names(owner, "spec.owner.groups"),
        priority=_priority(spec),
        models=tuple(_model_ref(item, where) for item, where in _items(spec, "spec.modelRefs")),
        organization_id=_text(billing.get("organizationId")),
        cost_center=_text(billing.get("costCenter")),
        labels=_decoration(billing.get("labels")),
        phase=_text(status.get("phase")).strip(),
        ready=_condition(status, "Ready"),
        deleting=_text(metadata.get("deletionTimestamp")),
        enforced=_enforced(status),
    )


def policy(raw: Raw) -> Policy:
    """A MaaSAuthPolicy. Raises ObjectError."""
    _, spec, _ = _parts(raw)
    subjects = _object(spec, "spec.subjects", required=True)
    return Policy(
        users=frozenset(name.strip() for name in _strings(subjects, "spec.subjects.users")) - {""},
        groups=frozenset(name.strip() for name in _group_names(subjects, "spec.subjects.groups")) - {""},
        models=frozenset(_key(item, where) for item, where in _items(spec, "spec.modelRefs")),
    )


def model_info(raw: Raw) -> ModelInfo:
    """What a MaaSModelRef adds to a subscription's reference to it. Raises ObjectError."""
    metadata, spec, status = _parts(raw)
    target = _object(spec, "spec.modelRef", required=True)
    key = ModelKey(_name(metadata, "metadata.namespace"), _name(metadata, "metadata.name"))
    external = target.get("kind") == "ExternalModel"
    annotations = _decoration(metadata.get("annotations"))
    return ModelInfo(
        key=key,
        display_name=annotations.get(DISPLAY_NAME, ""),
        description=annotations.get(DESCRIPTION, ""),
        source="external" if external else "internal" if target.get("kind") == "LLMInferenceService" else "",
        alias=_text(status.get("resolvedModelAlias")),
        target=None if external else ModelKey(key.namespace, _text(target.get("name")) or key.name),
    )


def _parts(raw: Raw) -> tuple[Raw, Raw, Raw]:
    if not isinstance(raw, Mapping):
        raise ObjectError(f"the object must be a mapping, got {type(raw).__name__}")
    return (
        _object(raw, "metadata", required=True),
        _object(raw, "spec", required=True),
        _object(raw, "status", required=False),
    )


def _object(parent: Raw, path: str, *, required: bool) -> Raw:
    value = parent.get(path.rpartition(".")[2])
    if value is None and not required:
        return {}
    if not isinstance(value, Mapping):
        raise ObjectError(f"{path} must be an object, got {_shown(value)}")
    return value


def _items(parent: Raw, path: str) -> Iterator[tuple[Raw, str]]:
    """The objects of a list (absent counts as empty), each with its path."""
    values = parent.get(path.rpartition(".")[2])
    if values is None:
        return
    if not isinstance(values, list):
        raise ObjectError(f"{path} must be a list, got {_shown(values)}")
    for index, value in enumerate(values):
        where = f"{path}[{index}]"
        if not isinstance(value, Mapping):
            raise ObjectError(f"{where} must be an object, got {_shown(value)}")
        yield value, where


def _name(parent: Raw, path: str) -> str:
    value = parent.get(path.rpartition(".")[2])
    if not isinstance(value, str) or not value:
        raise ObjectError(f"{path} must be a non-empty string, got {_shown(value)}")
    return value


def _strings(parent: Raw, path: str) -> frozenset[str]:
    values = parent.get(path.rpartition(".")[2])
    if values is None:
        return frozenset()
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ObjectError(f"{path} must be a list of strings, got {_shown(values)}")
    return frozenset(values) - {""}


def _group_names(parent: Raw, path: str) -> frozenset[str]:
    return frozenset(_name(item, f"{where}.name") for item, where in _items(parent, path))


def _key(item: Raw, where: str) -> ModelKey:
    return ModelKey(_name(item, f"{where}.namespace"), _name(item, f"{where}.name"))


def _model_ref(item: Raw, where: str) -> ModelRef:
    rate = _object(item, f"{where}.billingRate", required=False).get("perToken")
    limits = (_limit(limit, place) for limit, place in _items(item, f"{where}.tokenRateLimits"))
    return ModelRef(_key(item, where), tuple(limits), rate if isinstance(rate, str) else None)


def _limit(item: Raw, where: str) -> TokenRateLimit:
    limit = item.get("limit")
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise ObjectError(f"{where}.limit must be a whole number of at least 1, got {_shown(limit)}")
    return TokenRateLimit(limit, _name(item, f"{where}.window"))


def _priority(spec: Raw) -> int:
    """``spec.priority``; absent and negative count as 0, as in the Go service."""
    value = spec.get("priority")
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _INT32_MAX:
        raise ObjectError(f"spec.priority must be a 32-bit whole number, got {_shown(value)}")
    return max(value, 0)


def _condition(status: Raw, kind: str) -> bool:
    return any(item.get("type") == kind and item.get("status") == "True" for item, _ in _items(status, "conditions"))


def _enforced(status: Raw) -> dict[str, bool]:
    """Per model name, whether all of its rate-limit policies are ready. Several namespaces may share a model name."""
    found: dict[str, bool] = {}
    for item, where in _items(status, "status.tokenRateLimitStatuses"):
        name = _name(item, f"{where}.model")
        found[name] = item.get("ready") is True and found.get(name, True)
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _decoration(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {key: text for key, text in value.items() if isinstance(key, str) and isinstance(text, str)}


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)[:80]
