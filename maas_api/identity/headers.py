"""The caller's identity, as the gateway's headers state it.

The gateway authenticates; this service reads ``X-MaaS-Username`` and ``X-MaaS-Group``. Of repeated headers the
first counts. Groups are a JSON array of strings or, as Authorino prints a list, ``[a b c]``.

Values arrive as HTTP servers give them, one character per byte, and are read as UTF-8, which is what gateways write.
Only ASCII space is trimmed: a name that ends in U+00A0 is another name, and must not become the one without it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from maas_api.errors import identity as identity_error

USERNAME = "X-MaaS-Username"
GROUP = "X-MaaS-Group"
SUBSCRIPTION = "X-MaaS-Subscription"
MODELS = "X-MaaS-Models"
BUDGET = "X-MaaS-Budget"
SPACE = " \t\r\n"
"""What is trimmed from names."""


class Identity(NamedTuple):
    """A platform user: name and groups, both non-empty."""

    username: str
    groups: tuple[str, ...]


def parse(usernames: Sequence[str], groups: Sequence[str]) -> Identity:
    """The identity in the header values, each in the order received.

    Raises ApiError 401: refId 001 without a username or with one that is not UTF-8, 002 without a group header, 003
    for a group list that is malformed or empty.
    """
    username = _text(usernames[0]) if usernames else ""
    if username is None:
        raise identity_error("001", f"{USERNAME} must be UTF-8")
    if not username.strip():
        raise identity_error("001", f"{USERNAME} is missing or blank")
    listed = _text(groups[0]) if groups else ""
    if listed == "":
        raise identity_error("002", f"{GROUP} is missing")
    found = () if listed is None else _groups(listed)
    if not found:
        raise identity_error("003", f"{GROUP} must be a JSON array of group names with at least one name")
    return Identity(username, found)


def parse_optional(usernames: Sequence[str], groups: Sequence[str]) -> Identity | None:
    """Like :func:`parse`, but None where neither header is present: an anonymous caller."""
    if not usernames and not groups:
        return None
    return parse(usernames, groups)


def _text(value: str) -> str | None:
    """A header's value, trimmed; None where it is not UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8").strip(SPACE)
    except UnicodeDecodeError:
        return None
    except UnicodeEncodeError:  # text already
        return value.strip(SPACE)


def _groups(text: str) -> tuple[str, ...]:
    """What is not a JSON array of strings is the bracketed list, if it has the brackets: ``[1]`` is the group ``1``."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, list) or not all(item is None or isinstance(item, str) for item in value):
        if not (text.startswith("[") and text.endswith("]")):
            return ()
        value = re.split(f"[{SPACE}]+", text[1:-1])
    return tuple(name for name in ((item or "").strip(SPACE) for item in value) if name.strip())


def last_subscription(values: Sequence[str]) -> str:
    """The last non-blank subscription of repeated or comma-joined headers, or ``""``."""
    for value in reversed([part for line in values for part in line.split(",")]):
        if value.strip():
            return value.strip()
    return ""
