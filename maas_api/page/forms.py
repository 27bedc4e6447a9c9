"""What a form says, as the API's bodies: the same schemas and rules read them then. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from maas_api.keys.budget import PERIODS
from maas_api.keys.policy import PolicyError

UNITS: Final = {"hours": "h", "days": "d"}
PAGE_SIZE: Final = 25
_PAGES_MAX: Final = 10_000


class Form:
    """A form's fields: names with their values in order."""

    def __init__(self, fields: Mapping[str, Sequence[str]]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """The first value, without the space around it; "" where there is none."""
        return next(iter(self._fields.get(name, ())), "").strip()

    def all(self, name: str) -> list[str]:
        """Every value that is not blank."""
        return [value.strip() for value in self._fields.get(name, ()) if value.strip()]

    def lines(self, name: str) -> list[str]:
        """The lines of a text that are not blank."""
        return [line.strip() for line in self.text(name).splitlines() if line.strip()]

    def whole(self, name: str, label: str) -> int | None:
        """A whole number; None where nothing was written. Raises PolicyError."""
        text = self.text(name)
        if not text:
            return None
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise PolicyError(f"{label}: must be a whole number, got {text[:40]!r}")
        return int(text)


def mint_body(form: Form) -> dict[str, Any]:
    """The body of ``POST /v1/api-keys``. Raises PolicyError for what is no body at all."""
    body: dict[str, Any] = {"name": form.text("name")}
    for name in ("description", "subscription"):
        if form.text(name):
            body[name] = form.text(name)
    life = form.whole("life", "Expires after")
    if life is not None:
        unit = form.text("unit")
        if unit not in UNITS:
            raise PolicyError(f"Expires after: must be in {' or '.join(UNITS)}, got {unit[:40]!r}")
        body["expiresIn"] = f"{life}{UNITS[unit]}"
    if form.text("scope") == "some":
        body["models"] = [*form.all("model"), *form.lines("patterns")]
    budgets = [(form.whole(f"budget_{per}", f"Budget, {per}"), per) for per in PERIODS]
    asked: list[dict[str, Any]] = [{"tokens": tokens, "per": per} for tokens, per in budgets if tokens is not None]
    if form.text("cost"):
        asked.append({"cost": form.text("cost"), "currency": form.text("currency"), "per": form.text("cost_per")})
    if asked:
        body["budget"] = asked
    labels = [line.partition("=") for line in form.lines("labels")]
    for key, sign, _ in labels:
        if not sign:
            raise PolicyError(f"Labels: must be one key=value a line, got {key[:40]!r}")
    if labels:
        body["labels"] = {key.strip(): value.strip() for key, _, value in labels}
    return body


def search_body(form: Form, username: str) -> dict[str, Any]:
    """The body of ``POST /v1/api-keys/search``. ``username``: whose keys, "" for everyone's."""
    filters: dict[str, Any] = {"includeEphemeral": True}
    if username:
        filters["username"] = username
    if form.text("q"):
        filters["nameContains"] = form.text("q")
    if form.text("status"):
        filters["status"] = [form.text("status")]
    offset = (page_number(form) - 1) * PAGE_SIZE
    return {"filters": filters, "pagination": {"limit": PAGE_SIZE, "offset": offset}}


def page_number(form: Form) -> int:
    """Which page of a list is asked for, from 1; 1 for what is none."""
    text = form.text("page")
    return min(max(int(text), 1), _PAGES_MAX) if re.fullmatch(r"[0-9]{1,6}", text) else 1
