"""The endpoints over many keys, over HTTP. Nothing is decided here."""

from __future__ import annotations

from flask import Blueprint, Response, request

from maas_api.identity import headers
from maas_api.keys.faults import policy_is_400
from maas_api.keys.fleet import KeyFleet
from maas_api.keys.http import json_types, schemas
from maas_api.keys.http.answers import json_answer, never_kept, reads_only
from maas_api.keys.http.key_json import as_json


def blueprint(fleet: KeyFleet) -> Blueprint:
    """Search, bulk revocation, and the internal endpoints of the platform's own components."""
    views = Blueprint("key-fleet", __name__)
    never_kept(views)
    reads_only(views)
    search_body, bulk_revoke_body = schemas.SearchBody(), schemas.BulkRevokeBody()

    @views.post("/v1/api-keys/search")
    def search() -> Response:
        who = headers.parse_optional(request.headers.getlist(headers.USERNAME), request.headers.getlist(headers.GROUP))
        if who is None:
            return json_answer({"object": "list", "data": [], "has_more": False})
        with policy_is_400():
            asked = json_types.load(search_body, request.get_data())
        found, more = fleet.search(who, asked)
        now = fleet.now()
        return json_answer({"object": "list", "data": [as_json(record, now) for record in found], "has_more": more})

    @views.post("/v1/api-keys/bulk-revoke")
    def bulk_revoke() -> Response:
        who = headers.parse(request.headers.getlist(headers.USERNAME), request.headers.getlist(headers.GROUP))
        with policy_is_400():
            asked = json_types.load(bulk_revoke_body, request.get_data())
        done = fleet.bulk_revoke(who, asked)
        if done.dry_run:
            message = f"Dry run: {done.keys} active key(s) would be revoked for {done.scope}"
            return json_answer({"revokedCount": done.keys, "message": message, "dryRun": True})
        message = f"Successfully revoked {done.keys} active API key(s) for {done.scope}"
        return json_answer({"revokedCount": done.keys, "message": message})

    @views.post("/internal/v1/api-keys/cleanup")
    def cleanup() -> Response:
        count = fleet.sweep()
        message = f"Successfully deleted {count} expired ephemeral key(s)"
        return json_answer({"deletedCount": count, "message": message})

    @views.delete("/internal/v1/tenants/<tenant>/api-keys")
    def end_tenant(tenant: str) -> Response:
        count = fleet.end_tenant(tenant)
        message = f"Successfully revoked {count} active API key(s) for tenant {tenant.strip()}"
        return json_answer({"revokedCount": count, "message": message})

    return views
