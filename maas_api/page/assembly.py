"""The page, put together for one worker process, as the settings say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Blueprint, request

from maas_api.config import Settings
from maas_api.identity.admin import AdminCheck
from maas_api.identity.headers import Identity
from maas_api.identity.tokens import StaticTokens, TokenSource
from maas_api.keys.fleet import KeyFleet
from maas_api.keys.http.minting import Unmatched
from maas_api.keys.record import KeyRecord
from maas_api.keys.service import KeyService
from maas_api.kube.objects import FeedStatus
from maas_api.models.calls import Calls
from maas_api.models.catalog import Catalog
from maas_api.page import reference
from maas_api.page.sessions import Sessions, nobody
from maas_api.page.statements import PageStore
from maas_api.page.views import admin, entrance, keys, models, usage
from maas_api.page.views.reports import Reports
from maas_api.page.views.shell import Shell
from maas_api.page.visitors import Door, GatewayDoor, LocalDoor
from maas_api.store.database import Database
from maas_api.usage.service import UsageService


@dataclass(frozen=True)
class Parts:
    """What of the other rooms the page shows. ``budgets``: where a key's budgets stand; ``left_out``: subscriptions
    and policies that cannot be read, a sentence each."""

    database: Database
    keys: KeyService
    fleet: KeyFleet
    unmatched: Unmatched
    subscriptions: Callable[[Identity], list[str]]
    left_out: Callable[[], list[str]]
    usage: UsageService
    budgets: Callable[[KeyRecord], list[dict[str, Any]]]
    calls: Calls
    catalog: Catalog
    statuses: Callable[[], Sequence[FeedStatus]]
    admins: AdminCheck
    tokens: TokenSource
    gone: Callable[[str], bool] = nobody


def build(settings: Settings, parts: Parts) -> tuple[Blueprint, ...]:
    """The page's blueprint and that of ``/docs``, without what is off."""
    docs = (reference.blueprint(),) if settings.docs_shown else ()
    if settings.page_mode == "off":
        return docs
    now = parts.keys.now
    made = sessions(settings, parts.database, parts.tokens, now, parts.gone)
    local = settings.page_mode == "local"
    door: Door = LocalDoor(made) if local else GatewayDoor(made, now)
    shell = Shell(door, parts.admins, now)
    reports = Reports(parts.usage, now)

    def gateway() -> str:
        """What clients call: as it is set, or as the browser came to a gateway."""
        if settings.gateway_url or local:
            return settings.gateway_url
        scheme = request.headers.get("X-Forwarded-Proto", request.scheme).partition(",")[0].strip()
        return f"{scheme}://{request.host}"

    keys.register(
        shell,
        keys.Services(
            parts.keys,
            parts.fleet,
            parts.unmatched,
            parts.calls,
            parts.subscriptions,
            parts.budgets,
            reports,
            gateway,
        ),
    )
    models.register(shell, models.Services(parts.calls, parts.usage.prices, now, gateway))
    usage.register(shell, reports)
    admin.register(shell, admin.Services(parts.fleet, parts.catalog, parts.statuses, parts.left_out, made))
    if local:
        entrance.register(shell, made, settings.page_session_seconds)
    return (shell.views, *docs)


def sessions(
    settings: Settings,
    database: Database,
    tokens: TokenSource,
    now: Callable[[], Any],
    gone: Callable[[str], bool] = nobody,
) -> Sessions:
    """The sessions of this installation, which end when their users are ``gone``. One that a token of the file began
    lasts no longer than that token."""
    holder = None
    if settings.tokens_file is not None and not (settings.token_review or settings.oidc):
        holder = StaticTokens.from_file(settings.tokens_file).holder
    store = PageStore(database, settings.tenant_name)
    return Sessions(store, tokens, timedelta(seconds=settings.page_session_seconds), now, holder, gone)
