"""What the text of an option may be: a rule reads it, or raises ValueError with a sentence that begins "must". Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

Parser = Callable[[str], Any]


def boolean(text: str) -> bool:
    """True or false, in the words that shells and Go use for them."""
    low = text.strip().lower()
    if low in ("1", "t", "true", "yes", "on"):
        return True
    if low in ("0", "f", "false", "no", "off", ""):
        return False
    raise ValueError("must be true or false")


def integer(low: int, high: int | None = None) -> Parser:
    """Whole numbers from ``low`` to ``high``; without ``high`` there is no upper end."""
    rule = (
        f"must be a whole number of at least {low}" if high is None else f"must be a whole number from {low} to {high}"
    )

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
            raise ValueError(rule)
        number = int(text)
        if number < low or (high is not None and number > high):
            raise ValueError(rule)
        return number

    return parse


def seconds(low: float, high: float) -> Parser:
    """Seconds from ``low`` to ``high``, fractions allowed."""

    def parse(text: str) -> float:
        rule = f"must be a number of seconds from {low:g} to {high:g}"
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text.strip()):
            raise ValueError(rule)
        number = float(text)
        if not low <= number <= high:
            raise ValueError(rule)
        return number

    return parse


def text(text: str) -> str:
    """Any text, without the space around it."""
    return text.strip()


def required(text: str) -> str:
    """Any text but a blank one."""
    if not text.strip():
        raise ValueError("must not be blank")
    return text.strip()


def label(text: str) -> str:
    """A DNS label (RFC 1123)."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", text.strip()):
        raise ValueError("must be a DNS label: 1 to 63 lower-case letters, digits and hyphens, no hyphen at an end")
    return text.strip()


def choice(*allowed: str) -> Parser:
    """One of a few words."""

    def parse(text: str) -> str:
        if text.strip() not in allowed:
            raise ValueError("must be one of " + ", ".join(allowed))
        return text.strip()

    return parse


def path(text: str) -> Path | None:
    """A path; None for a blank."""
    return Path(text.strip()) if text.strip() else None


def names(text: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


def address(text: str) -> str:
    """Where to listen: ``host:port`` or ``:port``; empty for none."""
    value = text.strip()
    if value and not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]*):[0-9]{1,5}", value):
        raise ValueError("must be host:port or :port, an IPv6 host in square brackets")
    if value and int(value.rpartition(":")[2]) > 65535:
        raise ValueError("must have a port from 0 to 65535")
    return value


def host(text: str) -> str:
    """A host name or an IP address, in brackets or not."""
    value = text.strip().removeprefix("[").removesuffix("]")
    if not re.fullmatch(r"[0-9A-Za-z.:-]*", value):
        raise ValueError("must be a host name or an IP address")
    return value


def base_url(text: str) -> str:
    """A base URL without a path that would have to be cut, or nothing."""
    value = text.strip().rstrip("/")
    if value and not re.fullmatch(
        r"https?://(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?", value
    ):
        raise ValueError("must be a URL such as https://models.example.com, without a query")
    return value


def rate(text: str) -> float:
    """A share, from 0 to 1."""
    rule = "must be a number from 0 to 1"
    if not re.fullmatch(r"[0-9](\.[0-9]{1,9})?", text.strip()) or float(text) > 1:
        raise ValueError(rule)
    return float(text)
