"""The composition root: Settings in, the assembled service out. The only place that wires things together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flask import Flask

from maas_api.access import assembly as access
from maas_api.access.caller import Caller
from maas_api.audit import assembly as audit
from maas_api.audit.origin import noted
from maas_api.config import Settings
from maas_api.edge import guard, health, web
from maas_api.edge.health import Check, Readiness
from maas_api.edge.secret import FOR_USAGE, SecretFile
from maas_api.gateway.authorizer import PREFIX as AUTHZ_PREFIX
from maas_api.gateway.authorizer import Authorizer
from maas_api.gateway.callback import Callback
from maas_api.gateway.judgement import Judgement
from maas_api.gateway.signin import SignIn
from maas_api.identity import assembly as identity
from maas_api.identity import tenants
from maas_api.identity.headers import Identity
from maas_api.keys import assembly as keys
from maas_api.keys.http.minting import PATH as MINT_PATH
from maas_api.kube import secrets
from maas_api.kube import sources as kube_sources
from maas_api.lifecycle import Background
from maas_api.membership import assembly as membership
from maas_api.membership.tokens import PresentTokens
from maas_api.migrations import AtStart
from maas_api.models import assembly as models
from maas_api.models.calls import Calls
from maas_api.models.listing import Listing
from maas_api.observability.redaction import remember_secrets
from maas_api.page import assembly as page
from maas_api.store.assembly import database_url
from maas_api.subscriptions import assembly as subscriptions
from maas_api.subscriptions import views as subscription_views
from maas_api.usage import assembly as usage
from maas_api.usage.http.ingest import PATH as USAGE_PATH
from maas_api.usage.pricelist import Prices
from maas_api.validation import assembly as validation
from maas_api.wire import RouteTable


@dataclass(frozen=True)
class Service:
    """Everything one worker process runs. Building it starts nothing and connects to nothing."""

    settings: Settings
    flask: Flask
    fast: RouteTable
    internal: guard.InternalGuard
    readiness: Readiness
    background: Sequence[Background]
    sign_in: SignIn | None = None

    def start(self) -> None:
        """Start what runs beside requests, in order."""
        for part in self.background:
            part.start()

    def stop(self) -> None:
        """Stop in reverse order; one part that fails to stop does not keep the others running."""
        self.readiness.draining = True
        faults: list[Exception] = []
        for part in reversed(self.background):
            try:
                part.stop()
            except Exception as fault:  # every part gets its chance to stop, the first fault is raised after
                faults.append(fault)
        if faults:
            raise faults[0]


def build(settings: Settings, shared: Path | None = None, *, migrated: bool = False) -> Service:
    """Assemble the service. ``shared`` is a private folder of all workers of this instance, where it has several;
    ``migrated`` spares each of them the look whether the schema is the newest."""
    fast = RouteTable()
    readiness = Readiness()
    health.register(readiness, fast)
    sources = kube_sources.build(settings, os.environ)
    admins = identity.admins(settings, sources.client)
    signing_in = identity.tokens(settings, sources.client)
    people = membership.build(settings, sources)
    tokens = signing_in.source if people is None else PresentTokens(signing_in.source, people)
    known = subscriptions.build(settings, sources)
    opened = access.build(settings, sources.client, known.directory)
    store_url = database_url(settings, secrets.reader(settings, os.environ))
    remember_secrets(store_url, settings.internal_secret_file, settings.usage_secret_file)

    def unmatched(who: Identity, subscription: str, patterns: Sequence[str]) -> Sequence[str]:
        return calls.unmatched(Caller(who, None, subscription, True), patterns)

    minting = keys.build(settings, store_url, known.resolver, admins, unmatched)
    documents = models.last_good(minting.store.database)
    catalog = models.catalog(settings, sources, documents)
    checking = validation.build(settings, store_url, minting.store, shared, people)
    prices = Prices(lambda: catalog.snapshot, settings.prices_file)
    auditing = audit.build(settings, minting.store.database, admins)
    metering = usage.build(settings, minting.store, admins, prices, checking.validation)
    calls = Calls(catalog, opened.access)
    judgement = Judgement(calls, opened.paths)
    authorizer = Authorizer(checking.validation, tokens, judgement, metering.spending)
    callback = Callback(checking.validation.route, tokens, checking.validation, judgement)

    Listing(calls).register(fast)
    fast.add("POST", "/internal/v1/subscriptions/select", subscription_views.select_route(known.directory))
    fast.add("POST", "/internal/v1/api-keys/validate", callback.route)
    fast.add("POST", MINT_PATH, noted(minting.mint), waits=True)
    fast.add("POST", USAGE_PATH, metering.ingest)
    fast.add_prefix(AUTHZ_PREFIX, authorizer.route)
    blueprints = [subscription_views.blueprint(known.directory), *auditing.blueprints]
    blueprints += [*minting.blueprints, *metering.blueprints]
    shown = page.Parts(
        minting.store.database,
        minting.service,
        minting.fleet,
        unmatched,
        known.directory.names_for,
        known.directory.complaints,
        metering.service,
        metering.own_key.budgets,
        calls,
        catalog,
        lambda: [status for feed in sources.every_feed for status in catalog.status_of(feed)],
        admins,
        tokens,
        lambda name: people is not None and people.gone(name),
    )
    blueprints += page.build(settings, shown)
    if settings.tenants_endpoint:
        blueprints.append(tenants.blueprint(settings, sources.client))
    readiness.add("subscriptions", lambda: Check(known.directory.known, known.directory.report()))
    readiness.add("models", lambda: Check(*catalog.report()))
    if people is not None:
        readiness.add("groups", lambda: Check(*people.report()))
    if (issuers := signing_in.issuers) is not None:  # told, no condition: keys go on working without them
        readiness.add("issuers", lambda: Check(True, issuers()))
    background = [
        *sources.background,
        catalog,
        known.follower,
        *opened.background,
        *(() if migrated else (AtStart(store_url),)),
        documents,
        *minting.background,
        *checking.background,
        *metering.background,
        *auditing.background,
        *signing_in.background,
    ]
    internal = guard.InternalGuard()
    if settings.internal_secret_file is not None:
        background.append(SecretFile(settings.internal_secret_file, internal.accept))
    if settings.usage_secret_file is not None:
        background.append(SecretFile(settings.usage_secret_file, internal.accept_for_usage, option=FOR_USAGE))
    flask = web.create(blueprints, fast, internal, max_body_bytes=settings.max_body_bytes)
    sign_in = SignIn(authorizer.route) if settings.sign_in else None
    return Service(settings, flask, fast, internal, readiness, background, sign_in)
