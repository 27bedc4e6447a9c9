"""Who is an admin and whose platform tokens count, as the settings say."""

from __future__ import annotations

from maas_api.config import ConfigError, Settings
from maas_api.identity.admin import AdminCheck, AnyAdmins, ReviewedAdmins, StaticAdmins
from maas_api.identity.cluster import admin_question, token_question
from maas_api.identity.tokens import EitherTokens, NoTokens, ReviewedTokens, StaticTokens, TokenSource
from maas_api.kube.client import Client
from maas_api.lifecycle import Background
from maas_api.observability import metrics


def admins(settings: Settings, client: Client | None) -> AdminCheck:
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


def tokens(settings: Settings, client: Client | None) -> tuple[TokenSource, list[Background]]:
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


def _count_admin_check(hit: bool) -> None:
    (metrics.sar_cache_hits if hit else metrics.sar_cache_misses).inc()
