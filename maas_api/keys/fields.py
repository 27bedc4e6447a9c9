"""One field of a line of JSON, read or refused with its name, its rule and what was there. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

_HASH: Final = re.compile("[0-9a-f]{64}")
_LARGEST: Final = 2**63 - 1


class BadFieldError(ValueError):
    """The message begins with the field's name and holds no hash."""


def known(value: Mapping[str, Any], known: frozenset[str], required: Iterable[str]) -> None:
    unknown = sorted(value.keys() - known)
    if unknown:
        raise BadFieldError(f"{unknown[0][:60]}: is no field of a key; known are {', '.join(sorted(known))}")
    missing = sorted(set(required) - value.keys())
    if missing:
        raise BadFieldError(f"{missing[0]}: is missing")


def whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST


def sha256(value: Mapping[str, Any]) -> str:
    found = value.get("hash")
    if not isinstance(found, str) or not _HASH.fullmatch(found):
        raise BadFieldError("hash: must be a SHA-256 as 64 lower-case hex digits")
    return found


def text(value: Mapping[str, Any], name: str) -> str:
    found = value.get(name)
    if not isinstance(found, str) or "\0" in found:
        raise BadFieldError(f"{name}: must be text, got {shown(found)}")
    try:
        found.encode()
    except UnicodeEncodeError:
        raise BadFieldError(f"{name}: must be text, got half a character") from None
    return found


def filled(value: Mapping[str, Any], name: str) -> str:
    found = text(value, name)
    if not found.strip():
        raise BadFieldError(f"{name}: must be text that is not blank")
    return found


def texts(value: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = value.get(name)
    if not isinstance(found, list):
        raise BadFieldError(f"{name}: must be a list of texts, got {shown(found)}")
    return tuple(text({name: one}, name) for one in found)


def objects(value: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    found = value.get(name)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise BadFieldError(f"{name}: must be a list of objects")
    return found


def flag(value: Mapping[str, Any], name: str) -> bool:
    found = value.get(name)
    if not isinstance(found, bool):
        raise BadFieldError(f"{name}: must be true or false, got {shown(found)}")
    return found


def moment(value: Mapping[str, Any], name: str) -> datetime | None:
    found = value.get(name)
    if found is None:
        return None
    try:
        moment = datetime.fromisoformat(found)
        return moment.astimezone(UTC) if moment.tzinfo is not None else _no_zone(name, found)
    except (TypeError, ValueError, OverflowError):
        raise BadFieldError(
            f"{name}: must be a time with an offset, such as 2026-11-30T12:00:00Z, got {shown(found)}"
        ) from None


def _no_zone(name: str, found: str) -> datetime:
    raise ValueError(f"{name}: {found}")


def shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
