"""What a key may be: name, life, labels, groups, allow-list. Pure; a broken rule raises the sentence for the caller."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from maas_api.body import Fields
from maas_api.keys import budget, duration
from maas_api.keys.budget import Budgets

EPHEMERAL_MAX = duration.HOUR
"""Default and cap of an ephemeral key's life, nanoseconds."""

_NAME_MAX = 128  # code points
_LABELS_MAX, _LABEL_KEY_MAX, _LABEL_VALUE_MAX = 50, 128, 1024  # pairs, bytes, bytes
_MODELS_MAX, _MODELS_BYTES_MAX = 50, 384  # patterns; bytes of their JSON, so that a validation reply stays small

_CONTROL = re.compile("[\\x00-\\x1f\\x7f]")
_UNQUOTED = frozenset('"\\,')
_LABEL_KEY = re.compile(
    r"([a-zA-Z0-9]([a-zA-Z0-9.-]*[a-zA-Z0-9])?/)?[a-zA-Z0-9]([a-zA-Z0-9._-]*[a-zA-Z0-9])?", re.ASCII
)
_MODEL = re.compile(r"[^\s*\x00-\x1f\x7f]*\*?")


class PolicyError(ValueError):
    """A rule a request breaks; the message is for the caller."""


class Life(NamedTuple):
    """How long keys live: the cap of regular keys (it is their default too), in days."""

    max_days: int

    def of(self, requested: int | None, *, ephemeral: bool) -> int:
        """Nanoseconds a key shall live. ``requested`` is nanoseconds, None for the default. Raises PolicyError."""
        cap = EPHEMERAL_MAX if ephemeral else self.max_days * duration.DAY
        if requested is None:
            return cap
        if requested <= 0:
            raise PolicyError("expiration must be positive")
        if requested <= cap:
            return requested
        shown = duration.show(requested)
        if ephemeral:
            limit = duration.show(EPHEMERAL_MAX)
            raise PolicyError(
                f"ephemeral key expiration ({shown}) cannot exceed {limit}: expiration exceeds maximum allowed"
            )
        raise PolicyError(
            f"requested expiration ({shown}) exceeds maximum allowed ({self.max_days} days): "
            "expiration exceeds maximum allowed"
        )


def expires_in(value: Any) -> int | None:
    """Nanoseconds of a request's ``expiresIn``: a Go duration, a count of days, or a number of seconds.

    None where absent or null. Raises PolicyError.
    """
    if value is None:
        return None
    try:
        if isinstance(value, str):
            return duration.parse(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return duration.from_seconds(value)
    except ValueError as fault:
        raise PolicyError(f"invalid duration: expiresIn {fault}, got {_shown(value)}") from None
    raise PolicyError(f"invalid duration: expiresIn must be a string or a number of seconds, got {_shown(value)}")


def name(value: str) -> str:
    """A key's name as stored, trimmed. Raises PolicyError."""
    trimmed = value.strip()
    if not trimmed:
        raise PolicyError("key name cannot be whitespace only")
    if len(trimmed) > _NAME_MAX:
        raise PolicyError("key name cannot exceed 128 characters")
    if _CONTROL.search(trimmed):
        raise PolicyError("key name contains invalid control characters")
    return trimmed


def description(value: str) -> str:
    """A key's description as stored. Only U+0000 is refused: PostgreSQL cannot hold it. Raises PolicyError."""
    if "\0" in value:
        raise PolicyError("description must not contain U+0000")
    return value


def labels(value: Mapping[str, str]) -> dict[str, str]:
    """Labels as stored. Raises PolicyError. Lengths count bytes, as the Go service does."""
    if len(value) > _LABELS_MAX:
        raise PolicyError("labels cannot exceed 50 key-value pairs")
    for key, text in value.items():
        if not key:
            raise PolicyError("label keys cannot be empty")
        if len(key.encode()) > _LABEL_KEY_MAX:
            raise PolicyError(f"label key '{key}' exceeds 128 characters")
        if not _LABEL_KEY.fullmatch(key):
            raise PolicyError(
                f"label key '{key}' contains invalid characters "
                "(only alphanumerics, dots, underscores, hyphens allowed)"
            )
        if not text:
            raise PolicyError(f"label value for key '{key}' cannot be empty")
        if len(text.encode()) > _LABEL_VALUE_MAX:
            raise PolicyError(f"label value for key '{key}' exceeds 1024 characters")
        if _CONTROL.search(text):
            raise PolicyError(f"label value for key '{key}' contains invalid control characters")
    return dict(value)


class Carried(NamedTuple):
    """Groups that a key carries, and the caller's others."""

    groups: tuple[str, ...]
    dropped: tuple[str, ...]


def groups(value: Sequence[str]) -> Carried:
    """The caller's groups, kept as a snapshot, without those that a gateway could turn into others.

    The gateways of the Go service put names between quotes as they are, and join them with commas: a quote, a backslash
    or a comma in one would make two of it. Raises PolicyError where no group is left: nothing takes such a key.
    """
    kept = tuple(group for group in value if group.isprintable() and _UNQUOTED.isdisjoint(group))
    if not kept:
        raise PolicyError(
            f"groups must have a name without quotes, backslashes, commas and unprintable characters, "
            f"got {_shown(list(value))}"
        )
    return Carried(kept, tuple(group for group in value if group not in kept))


def models(value: Sequence[str]) -> tuple[str, ...]:
    """An allow-list: exact model ids, or prefixes that end in ``*``. Raises PolicyError."""
    if not value:
        raise PolicyError("models must name at least one model; leave it out to allow every model")
    if len(value) > _MODELS_MAX:
        raise PolicyError(f"models cannot exceed {_MODELS_MAX} entries, got {len(value)}")
    for pattern in value:
        if not pattern or not _MODEL.fullmatch(pattern):
            raise PolicyError(
                f"models entry {_shown(pattern)} must be a model id without spaces; '*' may only be its last character"
            )
    unique = tuple(dict.fromkeys(value))
    size = len(json.dumps(unique, separators=(",", ":"), ensure_ascii=False).encode())
    if size > _MODELS_BYTES_MAX:
        raise PolicyError(f"models cannot exceed {_MODELS_BYTES_MAX} bytes as JSON, got {size}")
    return unique


class Spending(NamedTuple):
    """What keys may spend: the budgets of one that asks for none, and the most that one may ask for."""

    default: Budgets = ()
    caps: Budgets = ()

    def of(self, requested: Any) -> Budgets:
        """A new key's budgets. ``requested`` is the request's ``budget``, None for the default. Raises PolicyError."""
        asked = self.default if requested is None else budgets(requested)
        broken = None if requested is None else budget.exceeds(asked, self.caps)
        if broken is not None:
            raise PolicyError(f"budget exceeds the maximum allowed ({broken})")
        found = budget.capped(asked, self.caps)
        if len(used := budget.currencies(found)) > 1:
            allowed = budget.currencies(self.caps)[0]
            raise PolicyError(f"budget must be in {allowed}, as the maximum allowed is, got {' and '.join(used)}")
        return found


UNLIMITED = Spending()


def budgets(value: Any) -> Budgets:
    """Budgets as a request gives them. Raises PolicyError."""
    try:
        return budget.from_json(_plain(value))
    except budget.BudgetError as fault:
        raise PolicyError(f"budget {fault}") from None


def _plain(value: Any) -> Any:
    """A decoded body's value with its objects as mappings; of two equal names the last counts."""
    if isinstance(value, Fields):
        return {name: _plain(item) for name, item in value}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _shown(value: Any) -> str:
    """What was received, short enough for a message."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:77] + "..."
