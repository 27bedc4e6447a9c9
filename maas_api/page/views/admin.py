"""An admin's part: keys of others ended in bulk, the catalog's problems, how fresh every source is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol

from flask import Response
from werkzeug.wrappers import Response as BaseResponse

from maas_api.errors import ApiError, encode
from maas_api.keys.faults import policy_is_400
from maas_api.keys.fleet import KeyFleet
from maas_api.keys.http import json_types, schemas
from maas_api.kube.objects import FeedStatus
from maas_api.models.snapshot import Snapshot
from maas_api.page.sessions import Sessions
from maas_api.page.views.shell import ROOT, Shell, message

NOTES_SHOWN: Final = 200


class Shelf(Protocol):
    """The catalog, as far as it is shown."""

    @property
    def snapshot(self) -> Snapshot: ...
    def complaints(self) -> list[str]: ...
    def outdated(self) -> Sequence[Any]: ...


class Services(NamedTuple):
    """What answers. ``left_out``: subscriptions and policies that cannot be read, a sentence each."""

    fleet: KeyFleet
    catalog: Shelf
    statuses: Callable[[], Sequence[FeedStatus]]
    left_out: Callable[[], list[str]]
    sessions: Sessions


def register(shell: Shell, services: Services) -> None:
    """``people`` and ``catalog``."""
    views = shell.views
    bulk_body = schemas.BulkRevokeBody()

    def bulk(*, dry_run: bool) -> Any:
        form = shell.form()
        wanted = {name: form.text(name) for name in ("username", "subscription")}
        with policy_is_400():
            asked = json_types.load(bulk_body, encode({**wanted, "dryRun": dry_run}))
        return services.fleet.bulk_revoke(shell.visitor.who, asked)

    def people_page(code: int = 200, /, **values: Any) -> Response:
        standing = {"username": "", "subscription": "", "counted": None, "scope": "", "done": "", "problem": ""}
        return shell.render("people.html", code, **(standing | values))

    @views.get(f"{ROOT}people")
    def people() -> Response:
        shell.require_admin()
        return people_page()

    @views.post(f"{ROOT}people/revoke")
    def revoke_many() -> BaseResponse:
        shell.require_admin()
        form = shell.form()
        named = {name: form.text(name) for name in ("username", "subscription")}
        rehearsal = form.text("step") != "revoke"
        try:
            outcome = bulk(dry_run=rehearsal)
        except ApiError as fault:
            return people_page(fault.status, **named, problem=message(fault))
        if rehearsal:
            return people_page(**named, counted=outcome.keys, scope=outcome.scope)
        return people_page(done=f"{outcome.keys} keys of {outcome.scope} are revoked.")

    @views.post(f"{ROOT}people/sessions")
    def end_sessions() -> BaseResponse:
        shell.require_admin()
        username = shell.form().text("username")
        ended = services.sessions.end_all(username)
        return people_page(done=f"{ended} sessions of user {username} are over.")

    @views.get(f"{ROOT}catalog")
    def catalog() -> Response:
        shell.require_admin()
        snapshot = services.catalog.snapshot
        complaints = [*services.catalog.complaints(), *services.left_out()]
        return shell.render(
            "catalog.html",
            models=len(snapshot.rows),
            complaints=complaints[:NOTES_SHOWN],
            omissions=snapshot.omissions[:NOTES_SHOWN],
            numbers=(len(complaints), len(snapshot.omissions)),
            statuses=services.statuses(),
            unready=[entry for entry in snapshot.entries if not entry.ready][:NOTES_SHOWN],
        )
