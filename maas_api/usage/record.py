"""One record of the gateway's access log, read into what is counted of a call. Pure.

This is the contract with whatever writes the log (Envoy, or a collector behind Istio). Attributes of an OTLP log
record; values may be text or numbers, and ``-`` or nothing stands for "not known":

=======================  =============================================================================================
attribute                what it says
=======================  =============================================================================================
``maas.key_id``          the key's id; absent for a platform user
``maas.user``            whose call it was. A record with neither a key nor a user was refused before anybody was
                         known, and is not counted
``maas.subscription``    the subscription that the call was made on
``maas.model``           the model, as clients name it
``maas.provider``        the provider's word in the registry; ``local`` or absent for a model of the cluster
``maas.path``            the request's path; only its last words are used, to tell the endpoint
``maas.status``          the answer's status; 0 where the client left before there was one
``maas.flags``           Envoy's response flags: with a good status they mean that the answer was cut
``maas.duration_ms``     from the first byte of the request to the last of the answer
``maas.first_event_ms``  from the first byte of the request to the first of the answer's body
``maas.held``            what was held of budgets for the call, and when: ``<tokens>.<generation>.<billionths>``, and
                         behind a space the model's reference where its subscription limits it. Absent without any
``maas.usage.<path>``    a number of the provider's usage object, by its path there
                         (:data:`maas_api.usage.dialects.FIELDS`)
=======================  =============================================================================================
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from maas_api.usage import dialects
from maas_api.usage.dialects import Tokens, whole

KEY_ID, USER, SUBSCRIPTION, MODEL, PROVIDER, PATH, STATUS, FLAGS, DURATION, FIRST_EVENT = (
    f"maas.{name}"
    for name in (
        "key_id",
        "user",
        "subscription",
        "model",
        "provider",
        "path",
        "status",
        "flags",
        "duration_ms",
        "first_event_ms",
    )
)
HELD: Final = "maas.held"
USAGE: Final = "maas.usage."

LOCAL: Final = "local"
OTHER: Final = "other"
ENDPOINTS: Final = ("chat", "completions", "responses", "embeddings", "messages")
"""Endpoints whose answers carry usage: a call of theirs without any is unmetered."""

_USAGE_AT: Final = len(USAGE)
_ENDPOINT: Final = re.compile(r"/(chat/completions|completions|responses|embeddings|messages)/?\Z")
_HELD: Final = re.compile(r"([0-9]{1,15})\.([0-9]{1,12})(?:\.([0-9]{1,18}))?(?: ([a-z0-9.-]{1,63}/[a-z0-9.-]{1,253}))?")
_TEXT_MAX: Final = 253
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_MS_MAX: Final = 7 * 86_400_000


class Series(NamedTuple):
    """What calls are counted by, beside the hour and the tenant."""

    key_id: str
    user: str
    subscription: str
    model: str
    provider: str
    endpoint: str


class Counts(NamedTuple):
    """What is added up. ``errors``: answered 400 or more. ``interrupted``: cut before the end, by either side.
    ``unmetered``: calls that took tokens nobody told us of. Times are milliseconds; ``first_events`` is the number of
    calls that ``first_event_ms`` is the sum of."""

    requests: int = 0
    errors: int = 0
    interrupted: int = 0
    unmetered: int = 0
    input: int = 0
    output: int = 0
    cached: int = 0
    written: int = 0
    reasoning: int = 0
    duration_ms: int = 0
    first_event_ms: int = 0
    first_events: int = 0

    @property
    def tokens(self) -> Tokens:
        """The token counts alone."""
        return Tokens(self.input, self.output, self.cached, self.written, self.reasoning)

    def __add__(self, other: Any) -> Counts:
        """Both together."""
        return Counts(*map(int.__add__, self, other))


class Hold(NamedTuple):
    """What is held for a call: tokens, and what those cost in billionths of the currency; the number of the quarter of
    an hour in which it was; the MaaSModelRef (``namespace/name``) whose limits count the call, empty without any."""

    tokens: int
    generation: int
    cost: int = 0
    reference: str = ""

    def __str__(self) -> str:
        return bytes(self).decode()

    def __bytes__(self) -> bytes:
        numbers = b"%d.%d.%d" % self[:3]
        return numbers + b" " + self.reference.encode() if self.reference else numbers


class Measure(NamedTuple):
    """One call. ``hold``: None where its key has no budget."""

    series: Series
    counts: Counts
    hold: Hold | None = None


def measure(attributes: Mapping[str, Any]) -> Measure | None:
    """The call that a record tells of; None for one that was nobody's."""
    said = attributes.get
    endpoint = endpoint_of(_text(said(PATH), 4096))
    series = _series(said(KEY_ID), said(USER), said(SUBSCRIPTION), said(MODEL), said(PROVIDER), endpoint)
    if not series.key_id and not series.user:
        return None
    status = whole(said(STATUS)) or 0
    failed = status >= 400
    tokens = dialects.read({name[_USAGE_AT:]: value for name, value in attributes.items() if name.startswith(USAGE)})
    first_event = _milliseconds(said(FIRST_EVENT))
    taken = tokens or Tokens(0, 0)
    counts = Counts(
        requests=1,
        errors=int(failed),
        interrupted=int(not failed and (status == 0 or bool(_text(said(FLAGS))))),
        unmetered=int(tokens is None and not failed and endpoint != OTHER),
        input=taken.input,
        output=taken.output,
        cached=taken.cached,
        written=taken.written,
        reasoning=taken.reasoning,
        duration_ms=_milliseconds(said(DURATION)) or 0,
        first_event_ms=first_event or 0,
        first_events=int(first_event is not None),
    )
    return Measure(series, counts, _hold(said(HELD)))


@lru_cache(maxsize=4096)
def _series(key_id: Any, user: Any, subscription: Any, model: Any, provider: Any, endpoint: str) -> Series:
    """The series that a call belongs to: mostly that of calls before it."""
    return Series(_text(key_id), _text(user), _text(subscription), _text(model), _text(provider) or LOCAL, endpoint)


@lru_cache(maxsize=65_536)
def holder(user: str, subscription: str, reference: str) -> str:
    """Whose a subscription's limit is: each user's of each model in it, over all of their keys."""
    return json.dumps([part[:_TEXT_MAX] for part in (user, subscription, reference)])


def _hold(value: Any) -> Hold | None:
    found = _HELD.fullmatch(value) if isinstance(value, str) else None
    return None if found is None else Hold(int(found[1]), int(found[2]), int(found[3] or 0), found[4] or "")


def endpoint_of(path: str) -> str:
    """Which of :data:`ENDPOINTS` a path leads to, whatever stands before it, or ``other``."""
    found = _ENDPOINT.search(path.partition("?")[0])
    if found is None:
        return OTHER
    return "chat" if found.group(1) == "chat/completions" else found.group(1)


def _text(value: Any, most: int = _TEXT_MAX) -> str:
    """An attribute as one line of text, cut where it is too long; ``-`` is Envoy's word for nothing."""
    if not isinstance(value, str) or value == "-":
        return ""
    if value.isascii() and value.isprintable() and len(value) <= most:
        return value
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", value[:most])


def _milliseconds(said: Any) -> int | None:
    value = whole(said)
    return None if value is None else min(value, _MS_MAX)
