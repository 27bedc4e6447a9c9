"""The key endpoints over HTTP. Nothing is decided here."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from maas_api.errors import encode
from maas_api.identity import headers
from maas_api.identity.headers import Identity
from maas_api.keys import duration, schemas
from maas_api.keys.policy import EPHEMERAL_MAX
from maas_api.keys.records import as_json, timestamp
from maas_api.keys.service import KeyService, Minted, policy_is_400


def blueprint(service: KeyService) -> Blueprint:
    """``/v1/api-keys`` and below, except the validation callback, which is a fast route."""
    views = Blueprint("keys", __name__)
    mint_body = schemas.MintBody()

    @views.post("/v1/api-keys")
    def mint() -> Response:
        who = _caller()
        with policy_is_400():
            asked = schemas.load(mint_body, request.get_data())
        return _json(minted_json(service.mint(who, asked)), 201)

    @views.get("/v1/api-keys/config")
    def config() -> Response:
        _caller()
        return _json(
            {
                "max_expiration_days": service.life.max_days,
                "ephemeral_max_expiration": duration.show(EPHEMERAL_MAX),
            }
        )

    @views.get("/v1/api-keys/<key_id>")
    def get(key_id: str) -> Response:
        return _json(as_json(service.get(_caller(), key_id), service.now()))

    @views.delete("/v1/api-keys/<key_id>")
    def revoke(key_id: str) -> Response:
        return _json(as_json(service.revoke(_caller(), key_id), service.now()))

    return views


def minted_json(minted: Minted) -> dict[str, Any]:
    """The one answer that shows a secret."""
    record = minted.record
    return {
        "key": minted.secret.plaintext,
        "keyPrefix": minted.secret.prefix,
        "id": record.id,
        "name": record.name,
        "subscription": record.subscription,
        "createdAt": timestamp(record.created_at),
        "expiresAt": timestamp(record.expires_at) if record.expires_at else None,
        "ephemeral": record.ephemeral,
        **({"labels": record.labels} if record.labels else {}),
        **({} if record.models is None else {"models": list(record.models)}),
    }


def _caller() -> Identity:
    return headers.parse(request.headers.getlist(headers.USERNAME), request.headers.getlist(headers.GROUP))


def _json(content: Any, status: int = 200) -> Response:
    return Response(encode(content), status, content_type="application/json; charset=utf-8")
