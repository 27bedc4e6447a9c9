"""The endpoints of one key over HTTP. Nothing is decided here."""

from __future__ import annotations

import re

from flask import Blueprint, Response, request

from maas_api.errors import plain
from maas_api.keys import duration
from maas_api.keys.faults import policy_is_400
from maas_api.keys.http import json_types, schemas
from maas_api.keys.http.answers import caller, json_answer, never_kept, presented_key, reads_only
from maas_api.keys.http.key_json import as_json, rotated_json
from maas_api.keys.policy import EPHEMERAL_MAX, PolicyError
from maas_api.keys.service import KeyService


def blueprint(service: KeyService) -> Blueprint:
    """``/v1/api-keys/{id}`` and what is below it."""
    views = Blueprint("keys", __name__)
    never_kept(views)
    reads_only(views)
    rotate_body, budget_body = schemas.RotateBody(), schemas.BudgetBody()

    @views.get("/v1/api-keys/config")
    def config() -> Response:
        caller()
        return json_answer(
            {
                "max_expiration_days": service.life.max_days,
                "ephemeral_max_expiration": duration.show(EPHEMERAL_MAX),
            }
        )

    @views.get("/v1/api-keys/<key_id>")
    def get(key_id: str) -> Response:
        return json_answer(as_json(service.get(caller(), key_id), service.now()))

    @views.delete("/v1/api-keys/<key_id>")
    def revoke(key_id: str) -> Response:
        who = caller()
        with policy_is_400():
            keep = _keeps_children(request.args.getlist("keepChildren"))
        if keep and presented_key() is not None:
            raise plain(403, "keepChildren is for users: the keys that an API key minted end with it")
        return json_answer(as_json(service.revoke(who, key_id, keep_children=keep), service.now()))

    @views.put("/v1/api-keys/<key_id>/budget")
    def set_budget(key_id: str) -> Response:
        who = caller()
        with policy_is_400():
            asked = json_types.load(budget_body, request.get_data())
        return json_answer(as_json(service.set_budget(who, key_id, asked["budget"]), service.now()))

    @views.delete("/v1/api-keys/<key_id>/budget")
    def drop_budget(key_id: str) -> Response:
        return json_answer(as_json(service.set_budget(caller(), key_id, None), service.now()))

    @views.post("/v1/api-keys/<key_id>/rotate")
    def rotate(key_id: str) -> Response:
        who = caller()
        with policy_is_400():
            asked = json_types.load(rotate_body, request.get_data() or b"{}")
            idempotency_key = _idempotency_key(request.headers.getlist("Idempotency-Key"))
        done = service.rotate(
            who, key_id, grace_seconds=asked["graceSeconds"], idempotency_key=idempotency_key, by=presented_key()
        )
        return json_answer(rotated_json(done))

    return views


def _idempotency_key(values: list[str]) -> str | None:
    """The header's value. Raises PolicyError."""
    if not values:
        return None
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", values[0]):
        raise PolicyError("Idempotency-Key must be 1 to 255 visible ASCII characters")
    return values[0]


def _keeps_children(values: list[str]) -> bool:
    """The query's ``keepChildren``. Raises PolicyError."""
    if values and values[-1] not in ("true", "false"):
        raise PolicyError(f"keepChildren must be true or false, got {values[-1][:80]!r}")
    return values[-1:] == ["true"]
