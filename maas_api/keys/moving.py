"""Keys as lines of a file, to move them from one store to another. Pure.

Our own file is JSON lines: a header, a line a key, and a last line that says how many there were. Another gateway's has
a line a key, whose hash is the SHA-256 of the whole secret. Such a key is *imported*: nothing but its end can change.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from maas_api.keys import budget, fields, policy
from maas_api.keys.budget import BudgetError
from maas_api.keys.policy import PolicyError, Spending
from maas_api.keys.record import KeyRecord
from maas_api.store import limits

FORMAT: Final = "maas-api keys"
VERSION: Final = 1
STATUSES: Final = ("active", "revoked", "expired")

_ID: Final = re.compile("[0-9A-Za-z_.:-]{1,200}", re.ASCII)  # what an announcement can carry
_OWN: Final = frozenset(
    ("id", "username", "name", "description", "groups", "subscription", "status", "createdAt", "expiresAt",
     "lastUsedAt", "ephemeral", "labels", "models", "budget", "spent", "parent", "bound", "lostLimits", "imported",
     "hash", "oldSecrets")
)  # fmt: skip
_FOREIGN: Final = frozenset(("hash", "username", "name", "groups", "subscription", "expiresAt", "models", "budget"))


class Spent(NamedTuple):
    """What a key has used of one budget's period."""

    per: str
    begins: datetime
    used: int


class OldSecret(NamedTuple):
    """The hash of a secret that a rotation replaced, and until when it is good."""

    hash: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Moved:
    """A key with all that belongs to it. ``bound``: whether it ends with its parent. ``line``: where it was read."""

    record: KeyRecord
    hash: str = ""
    bound: bool = False
    old: tuple[OldSecret, ...] = ()
    spent: tuple[Spent, ...] = field(default=(), compare=False)
    line: int = field(default=0, compare=False)


class Problem(NamedTuple):
    """What is wrong with a line: the field, its rule and what was there. Never a hash."""

    line: int
    says: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.says}"


class FileError(ValueError):
    """A file that is none of these, or that ends early."""


def header(tenant: str, *, hashes: bool, now: datetime) -> dict[str, Any]:
    """The first line."""
    return {"format": FORMAT, "version": VERSION, "tenant": tenant, "hashes": hashes, "at": _text(now)}


def line(moved: Moved, *, hashes: bool) -> dict[str, Any]:
    """A key's line. Without ``hashes`` nothing of it is made of a secret."""
    key = moved.record
    said: dict[str, Any] = {
        "id": key.id, "username": key.username, "name": key.name, "description": key.description,
        "groups": list(key.groups), "subscription": key.subscription, "status": key.status,
        "createdAt": _text(key.created_at), "expiresAt": _text(key.expires_at), "lastUsedAt": _text(key.last_used_at),
        "ephemeral": key.ephemeral, "labels": key.labels, "models": None if key.models is None else list(key.models),
        "budget": budget.as_json(key.budgets),
        "spent": [{"per": one.per, "begins": _text(one.begins), "used": one.used} for one in moved.spent],
        "parent": key.parent, "bound": moved.bound, "lostLimits": list(key.lost_limits), "imported": key.imported,
    }  # fmt: skip
    if hashes:
        old = [{"hash": one.hash, "expiresAt": _text(one.expires_at)} for one in moved.old]
        said |= {"hash": moved.hash, "oldSecrets": old}
    return said


def own(lines: Iterable[bytes], tenant: str) -> tuple[list[Moved], list[Problem]]:
    """The keys of our own file, for a store of ``tenant``. Raises FileError."""
    numbered = enumerate(lines, 1)
    _, first = next(numbered, (0, b""))
    try:
        head = json.loads(first)
    except ValueError:
        head = None
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise FileError(f'line 1: must be the header of an export ({{"format": "{FORMAT}", ...}})')
    if head.get("version") != VERSION:
        raise FileError(f"line 1: version: must be {VERSION}, got {fields.shown(head.get('version'))}")
    if head.get("tenant") != tenant:
        raise FileError(
            f"line 1: tenant: the file is of {fields.shown(head.get('tenant'))}, this store's is {tenant!r}"
        )
    if head.get("hashes") is not True:
        raise FileError("line 1: hashes: the file has none, so it would let nobody in; export with --hashes")
    keys: list[tuple[int, bytes]] = []
    for number, text in numbered:
        if text.startswith(b'{"end"'):
            if text != b'{"end": %d}' % len(keys) or next(numbered, None) is not None:
                raise FileError(f"line {number}: end: must be the last line and say {len(keys)}, the keys before it")
            return _each(keys, lambda value: _own(value, tenant))
        keys.append((number, text))
    raise FileError(f"line {len(keys) + 1}: the file ends here, without its last line (end): it is not whole")


def foreign(
    lines: Iterable[bytes], tenant: str, *, now: datetime, max_days: int, spending: Spending
) -> tuple[list[Moved], list[Problem]]:
    """The keys of another gateway's file: no more than could be minted now."""

    def read(value: dict[str, Any]) -> Moved:
        return _foreign(value, tenant, now, max_days, spending)

    return _each([(number, text) for number, text in enumerate(lines, 1) if text.strip()], read)


def _each(
    lines: Iterable[tuple[int, bytes]], read: Callable[[dict[str, Any]], Moved]
) -> tuple[list[Moved], list[Problem]]:
    found: list[Moved] = []
    problems: list[Problem] = []
    ids: dict[str, int] = {}
    hashes: dict[str, int] = {}
    for number, text in lines:
        try:
            one = read(_members(text))
            _first("id", ids.setdefault(one.record.id, number), number)
            for each in secrets(one):
                _first("hash", hashes.setdefault(each, number), number)
        except (fields.BadFieldError, PolicyError) as fault:
            problems.append(Problem(number, str(fault)))
            continue
        found.append(Moved(one.record, one.hash, one.bound, one.old, one.spent, number))
    return found, problems


def _first(what: str, before: int, number: int) -> None:
    if before != number:
        raise fields.BadFieldError(f"{what}: is that of line {before} too")


def secrets(moved: Moved) -> Iterator[str]:
    """The hashes of every secret of a key."""
    yield moved.hash
    for one in moved.old:
        yield one.hash


def _members(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise fields.BadFieldError("must be a JSON object on a line of its own") from None
    if not isinstance(value, dict):
        raise fields.BadFieldError("must be a JSON object on a line of its own")
    return value


def _own(value: dict[str, Any], tenant: str) -> Moved:
    fields.known(value, _OWN, required=_OWN)
    key_id = fields.text(value, "id")
    if not _ID.fullmatch(key_id):
        raise fields.BadFieldError(f"id: must be letters, digits and _.:- (200 at most), got {fields.shown(key_id)}")
    if (status := fields.text(value, "status")) not in STATUSES:
        raise fields.BadFieldError(f"status: must be one of {', '.join(STATUSES)}, got {fields.shown(status)}")
    created = fields.moment(value, "createdAt")
    if created is None:
        raise fields.BadFieldError("createdAt: must be a time")
    labels = value["labels"]
    if (
        not isinstance(labels, dict)
        or not all(isinstance(one, str) for one in labels.values())
        or limits.LABEL in labels
    ):
        raise fields.BadFieldError(f"labels: must be an object of texts, without {limits.LABEL}")
    parent = fields.text(value, "parent")
    if parent and not _ID.fullmatch(parent):
        raise fields.BadFieldError(f"parent: must be a key's id, got {fields.shown(parent)}")
    record = KeyRecord(
        id=key_id,
        username=fields.filled(value, "username"),
        name=fields.text(value, "name"),
        description=fields.text(value, "description"),
        groups=fields.texts(value, "groups"),
        subscription=fields.text(value, "subscription"),
        tenant=tenant,
        status=status,
        created_at=created,
        expires_at=fields.moment(value, "expiresAt"),
        last_used_at=fields.moment(value, "lastUsedAt"),
        ephemeral=fields.flag(value, "ephemeral"),
        labels=labels,
        models=None if value["models"] is None else fields.texts(value, "models"),
        budgets=_budgets(value["budget"]) if value["budget"] else (),
        parent=parent,
        lost_limits=fields.texts(value, "lostLimits"),
        imported=fields.flag(value, "imported"),
    )
    old = tuple(_old(one) for one in fields.objects(value, "oldSecrets"))
    spent = tuple(_spent(one) for one in fields.objects(value, "spent"))
    return Moved(record, fields.sha256(value), fields.flag(value, "bound"), old, spent)


def _foreign(value: dict[str, Any], tenant: str, now: datetime, max_days: int, spending: Spending) -> Moved:
    fields.known(value, _FOREIGN, required=("hash", "username", "groups", "subscription", "expiresAt"))
    key_hash = fields.sha256(value)
    expires = fields.moment(value, "expiresAt")
    if expires is None or expires > now + timedelta(days=max_days):
        raise fields.BadFieldError(
            f"expiresAt: must be a time within {max_days} days (API_KEY_MAX_EXPIRATION_DAYS), the most that a key lives"
        )
    groups, dropped = policy.groups(fields.texts(value, "groups"))
    if dropped:
        raise fields.BadFieldError(f"groups: no gateway can carry {fields.shown(dropped[0])}")
    models = value.get("models")
    record = KeyRecord(
        id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"maas-api:{tenant}:{key_hash}")),
        username=fields.filled(value, "username"),
        name=policy.name(fields.text(value, "name") if value.get("name") else "imported"),
        description="",
        groups=groups,
        subscription=fields.filled(value, "subscription"),
        tenant=tenant,
        status="active",
        created_at=now,
        expires_at=expires,
        last_used_at=None,
        ephemeral=False,
        labels={},
        models=None if models is None else policy.models(fields.texts(value, "models")),
        budgets=spending.of(value.get("budget")),
        imported=True,
    )
    return Moved(record, key_hash)


def _old(value: Mapping[str, Any]) -> OldSecret:
    until = fields.moment(value, "expiresAt")
    if value.keys() != {"hash", "expiresAt"} or until is None:
        raise fields.BadFieldError("oldSecrets: each must have hash and expiresAt")
    return OldSecret(fields.sha256(value), until)


def _spent(value: Mapping[str, Any]) -> Spent:
    begins, used = fields.moment(value, "begins"), value.get("used")
    if value.keys() != {"per", "begins", "used"} or begins is None or not fields.whole(used):
        raise fields.BadFieldError("spent: each must have per, begins (a time) and used (a whole number)")
    return Spent(fields.filled(value, "per"), begins, int(str(used)))


def _budgets(value: Any) -> budget.Budgets:
    try:
        return budget.from_json(value)
    except BudgetError as fault:
        raise fields.BadFieldError(f"budget: {fault}") from None


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
