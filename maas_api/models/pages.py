"""Pages of Anthropic's Models API: ``limit``, ``after_id``, ``before_id`` over the listing's order. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import parse_qs

from maas_api import errors
from maas_api.models.encoding import anthropic
from maas_api.models.model import ModelEntry

DEFAULT_LIMIT, MAX_LIMIT = 20, 1000


def page(entries: Sequence[ModelEntry], query_string: str) -> bytes:
    """The page a request asks for in its query. ``entries`` are in order, one per id.

    Raises ApiError 400 for a limit outside 1..1000, both cursors at once, or a cursor that is not in the list.
    """
    query = parse_qs(query_string, keep_blank_values=True)
    limit = _limit(query.get("limit", [""])[-1])
    after, before = query.get("after_id", [""])[-1], query.get("before_id", [""])[-1]
    if after and before:
        raise errors.sdk(400, "after_id and before_id: only one of them may be given", param="before_id")
    stages = [stage for name in ("lifecycle", "lifecycle[]") for stage in query.get(name, [])]
    if stages and "active" not in stages:  # everything listed here is in use
        entries = ()
    if before:
        end = _place(entries, before, "before_id")
        start = max(0, end - limit)
        more = start > 0
    else:
        start = _place(entries, after, "after_id") + 1 if after else 0
        end = min(len(entries), start + limit)
        more = end < len(entries)
    shown = entries[start:end]
    ends = {"has_more": more, "first_id": shown[0].id if shown else None, "last_id": shown[-1].id if shown else None}
    return b'{"data":[' + b",".join([anthropic(entry) for entry in shown]) + b"]," + errors.encode(ends)[1:]


def _limit(text: str) -> int:
    if not text:
        return DEFAULT_LIMIT
    if not re.fullmatch(r"[0-9]{1,4}", text) or not 1 <= int(text) <= MAX_LIMIT:
        raise errors.sdk(400, f"limit must be a whole number from 1 to {MAX_LIMIT}, got {text[:60]!r}", param="limit")
    return int(text)


def _place(entries: Sequence[ModelEntry], identifier: str, name: str) -> int:
    for place, entry in enumerate(entries):
        if entry.id == identifier:
            return place
    raise errors.sdk(400, f"{name} must be the id of a listed model, got {identifier[:256]!r}", param=name)
