"""The composition root: Settings in, the assembled service out. The only place that wires things together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, Flask

from maas_api import gauges, guard, health, web
from maas_api.config import Settings
from maas_api.gateway.authz import PREFIX as AUTHZ_PREFIX
from maas_api.gateway.authz import Authorizer
from maas_api.gateway.catalog import ModelsByPath
from maas_api.health import Check, Readiness
from maas_api.identity.admin import StaticAdmins
from maas_api.identity.tokens import NoTokens, StaticTokens, TokenSource
from maas_api.keys import assembly as keys_assembly
from maas_api.keys.location import database_url, no_secrets
from maas_api.kube import sources as kube_sources
from maas_api.kube.objects import MAAS_AUTH_POLICY, MAAS_MODEL_REF, MAAS_SUBSCRIPTION
from maas_api.lifecycle import Background
from maas_api.migrations import AtStart
from maas_api.models import assembly as models_assembly
from maas_api.models import readiness as models_readiness
from maas_api.models.listing import Listing
from maas_api.subscriptions import views as subscriptions
from maas_api.subscriptions.directory import Directory
from maas_api.subscriptions.feed import SubscriptionFeed
from maas_api.subscriptions.resolve import Resolver
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


def build(settings: Settings) -> Service:
    """Assemble the service."""
    fast = RouteTable()
    background: list[Background] = []
    blueprints: list[Blueprint] = []
    readiness = Readiness()
    blueprints.append(health.blueprint(readiness))
    sources = kube_sources.build(settings, os.environ)
    directory = Directory(namespace=settings.maas_subscription_namespace)
    blueprints.append(subscriptions.blueprint(directory))
    fast.add("POST", "/internal/v1/subscriptions/select", subscriptions.select_route(directory))
    following = SubscriptionFeed(
        directory,
        subscriptions=sources.of(MAAS_SUBSCRIPTION),
        policies=sources.of(MAAS_AUTH_POLICY),
        models=sources.of(MAAS_MODEL_REF),
        feeds=sources.feeds(MAAS_SUBSCRIPTION, MAAS_AUTH_POLICY),
        exists=lambda: sources.exists(MAAS_SUBSCRIPTION),
    )
    readiness.add("subscriptions", lambda: Check(directory.known, directory.report()))
    catalog = models_assembly.catalog(settings, sources, observer=gauges.Builds())
    gauges.connect(catalog, sources.every_feed)
    access = models_assembly.namespace_access(settings, sources.client)
    Listing(catalog, access=access).register(fast)
    readiness.add("models", lambda: Check(*models_readiness.report(catalog)))
    background += [*sources.background, catalog, following, *([access] if access is not None else [])]
    store_url = database_url(settings, no_secrets)
    background.append(AtStart(store_url))
    keys = keys_assembly.build(
        settings,
        store_url,
        Resolver(directory, settings.default_subscription),
        StaticAdmins(settings.admin_users, settings.admin_groups),
    )
    blueprints.append(keys.blueprint)
    fast.add("POST", "/internal/v1/api-keys/validate", keys.validation.route)
    background += keys.background
    authorizer = Authorizer(keys.validation, _tokens(settings), ModelsByPath(lambda: catalog.snapshot))
    fast.add_prefix(AUTHZ_PREFIX, authorizer.route)
    internal = guard.InternalGuard(_secret(settings))
    flask = web.create(blueprints, fast, internal, max_body_bytes=settings.max_body_bytes)
    return Service(settings, flask, fast, internal, readiness, background)


def _tokens(settings: Settings) -> TokenSource:
    """Platform tokens that ext_authz accepts. Raises ConfigError for a token file that cannot be used."""
    return NoTokens() if settings.tokens_file is None else StaticTokens.from_file(settings.tokens_file)


def _secret(settings: Settings) -> bytes:
    if settings.internal_secret_file is None:
        return b""
    return settings.internal_secret_file.read_bytes().strip()
