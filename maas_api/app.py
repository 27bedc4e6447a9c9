"""The composition root: Settings in, the assembled service out. The only place that wires things together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, Flask

from maas_api import gauges, tenants
from maas_api.config import ConfigError, Settings
from maas_api.edge import guard, health, web
from maas_api.edge.health import Check, Readiness
from maas_api.gateway.authz import PREFIX as AUTHZ_PREFIX
from maas_api.gateway.authz import Authorizer
from maas_api.gateway.catalog import ModelsByPath
from maas_api.identity.admin import AdminCheck, AnyAdmins, ReviewedAdmins, StaticAdmins
from maas_api.identity.cluster import admin_question, token_question
from maas_api.identity.tokens import EitherTokens, NoTokens, ReviewedTokens, StaticTokens, TokenSource
from maas_api.keys import assembly as keys_assembly
from maas_api.keys.location import database_url
from maas_api.kube import secrets
from maas_api.kube import sources as kube_sources
from maas_api.kube.client import Client
from maas_api.kube.objects import MAAS_AUTH_POLICY, MAAS_MODEL_REF, MAAS_SUBSCRIPTION
from maas_api.lifecycle import Background
from maas_api.migrations import AtStart
from maas_api.models import assembly as models_assembly
from maas_api.models import readiness as models_readiness
from maas_api.models.listing import Listing
from maas_api.observability import metrics
from maas_api.observability.redaction import remember_secrets
from maas_api.subscriptions import views as subscriptions
from maas_api.subscriptions.directory import Directory
from maas_api.subscriptions.feed import SubscriptionFeed
from maas_api.subscriptions.listing import Visibility
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
    health.register(readiness, fast)
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
    by_subscription = Visibility(directory) if settings.source_maasmodelrefs != "off" else None
    Listing(catalog, access=access, subscriptions=by_subscription).register(fast)
    readiness.add("models", lambda: Check(*models_readiness.report(catalog)))
    background += [*sources.background, catalog, following, *([access] if access is not None else [])]
    store_url = database_url(settings, secrets.reader(settings, os.environ))
    remember_secrets(store_url, settings.internal_secret_file)
    background.append(AtStart(store_url))
    keys = keys_assembly.build(
        settings,
        store_url,
        Resolver(directory, settings.default_subscription),
        _admins(settings, sources.client),
    )
    blueprints += keys.blueprints
    fast.add("POST", "/internal/v1/api-keys/validate", keys.validation.route)
    background += keys.background
    tokens, reviews = _tokens(settings, sources.client)
    background += reviews
    authorizer = Authorizer(keys.validation, tokens, ModelsByPath(lambda: catalog.snapshot))
    fast.add_prefix(AUTHZ_PREFIX, authorizer.route)
    if settings.tenants_endpoint:
        blueprints.append(tenants.blueprint(settings, _needed(sources.client)))
    internal = guard.InternalGuard(_secret(settings))
    flask = web.create(blueprints, fast, internal, max_body_bytes=settings.max_body_bytes)
    return Service(settings, flask, fast, internal, readiness, background)


def _admins(settings: Settings, client: Client | None) -> AdminCheck:
    """Who is an admin: the settings' own list, then the cluster's rules. Raises ConfigError for --admin-check on
    without a cluster."""
    listed = StaticAdmins(settings.admin_users, settings.admin_groups)
    if client is None and settings.admin_check == "on":
        raise ConfigError("--admin-check (ADMIN_CHECK): on needs a cluster, and none is set")
    if client is None or settings.admin_check == "off":
        return listed
    question = admin_question(client, settings.maas_subscription_namespace)
    reviewed = ReviewedAdmins(question, max_size=settings.sar_cache_max_size, seen=_count_admin_check)
    return AnyAdmins(listed, reviewed)


def _needed(client: Client | None) -> Client:
    """The cluster's client. Raises ConfigError for --tenants-endpoint without a cluster."""
    if client is None:
        raise ConfigError("--tenants-endpoint (TENANTS_ENDPOINT): needs a cluster, and none is set")
    return client


def _count_admin_check(hit: bool) -> None:
    (metrics.sar_cache_hits if hit else metrics.sar_cache_misses).inc()


def _tokens(settings: Settings, client: Client | None) -> tuple[TokenSource, list[Background]]:
    """Platform tokens that ext_authz accepts, and what runs for them.

    Raises ConfigError for a token file that cannot be used, and for --token-review without a cluster.
    """
    static = None if settings.tokens_file is None else StaticTokens.from_file(settings.tokens_file)
    if not settings.token_review:
        return static or NoTokens(), []
    if client is None:
        raise ConfigError("--token-review (TOKEN_REVIEW): needs a cluster, and none is set")
    reviewed = ReviewedTokens(token_question(client), settings.token_audiences)
    return (reviewed if static is None else EitherTokens(static, reviewed)), [reviewed]


def _secret(settings: Settings) -> bytes:
    """The secret of ``/internal``; ``b""`` where none is asked for. Raises ConfigError for a file without one."""
    if settings.internal_secret_file is None:
        return b""
    secret = settings.internal_secret_file.read_bytes().strip()
    if not secret:
        raise ConfigError(
            f"--internal-secret-file (INTERNAL_SECRET_FILE): {settings.internal_secret_file} is empty, "
            "and would leave /internal without the protection it asks for"
        )
    return secret
