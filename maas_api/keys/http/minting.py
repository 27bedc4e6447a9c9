"""``POST /v1/api-keys``, without the framework: it took a third of a mint. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from marshmallow import EXCLUDE, RAISE

from maas_api.errors import ApiError, encode
from maas_api.identity.headers import Identity
from maas_api.keys.faults import policy_is_400
from maas_api.keys.http import asking, json_types, schemas
from maas_api.keys.http.asking import Said
from maas_api.keys.http.key_json import minted_json, warnings_json
from maas_api.keys.service import KeyService
from maas_api.wire import JSON, FastRoute, Reply, Request

PATH: Final = "/v1/api-keys"
_NO_STORE: Final = (b"cache-control", b"no-store")


class Unmatched(Protocol):
    """What of an allow-list opens nothing. It must not raise: a key is made by then."""

    def __call__(self, who: Identity, subscription: str, patterns: Sequence[str]) -> Sequence[str]:
        """Those of ``patterns`` that match no model which the caller could call with a key of ``subscription``."""


def all_match(who: Identity, subscription: str, patterns: Sequence[str]) -> Sequence[str]:
    """Where no catalog is there to ask."""
    return ()


def route(service: KeyService, *, ignore_unknown: bool = False, unmatched: Unmatched = all_match) -> FastRoute:
    """The endpoint, which waits for the store. ``ignore_unknown``: whether a mint may name fields that do not exist."""
    body = schemas.MintBody(unknown=EXCLUDE if ignore_unknown else RAISE)

    def mint(request: Request) -> Reply:
        try:
            said = _said(request)
            by = asking.presented_key(said)
            asking.refuse_limited(said, mints_with=by)
            who = asking.caller(said)
            with policy_is_400():
                asked = json_types.load(body, request.body)
            made = service.mint(who, asked, by=by)
        except ApiError as fault:
            refused = fault.reply()
            return refused._replace(headers=(*refused.headers, _NO_STORE))
        idle = unmatched(who, made.record.subscription, made.record.models or ())
        return Reply(201, (JSON, _NO_STORE), encode(minted_json(made) | warnings_json(idle, made.dropped)))

    return mint


def _said(request: Request) -> Said:
    found = request.joined()

    def said(name: str) -> list[str]:
        value = found.get(name.lower().encode())
        return [] if value is None else [value]

    return said
