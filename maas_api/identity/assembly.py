"""Who is an admin and whose platform tokens count, as the settings say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from maas_api.config import ConfigError, Settings
from maas_api.identity.admin import AdminCheck, AnyAdmins, ReviewedAdmins, StaticAdmins
from maas_api.identity.cluster import admin_question, token_question
from maas_api.identity.oidc.issuer import Issuer, check, issuer, keep_apart
from maas_api.identity.tokens import EitherTokens, NoTokens, ReviewedTokens, StaticTokens, TokenSource
from maas_api.kube.client import Client
from maas_api.lifecycle import Background
from maas_api.observability import metrics

if TYPE_CHECKING:
    from maas_api.identity.oidc.source import OidcTokens


@dataclass(frozen=True)
class Tokens:
    """Whose platform tokens count, what runs for that, and what is to be said of the issuers (None without any)."""

    source: TokenSource
    background: Sequence[Background]
    issuers: Callable[[], Mapping[str, Any]] | None = None


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


def tokens(settings: Settings, client: Client | None) -> Tokens:
    """Platform tokens that ext_authz accepts: of the file, of the issuers, of the cluster, in this order.

    Raises ConfigError for a file that cannot be used, issuers whose users could be mistaken for others, and for
    --token-review without a cluster.
    """
    sources: list[TokenSource] = []
    background: list[Background] = []
    if settings.tokens_file is not None:
        sources.append(StaticTokens.from_file(settings.tokens_file))
    issuers = None
    if settings.oidc:
        found, keepers = _oidc(issuers_of(settings))
        issuers = found.report
        sources.append(found)
        background += keepers
    if settings.token_review:
        if client is None:
            raise ConfigError("--token-review (TOKEN_REVIEW): needs a cluster, and none is set")
        reviewed = ReviewedTokens(token_question(client), settings.token_audiences)
        sources.append(reviewed)
        background.append(reviewed)
    source: TokenSource = NoTokens()
    for one in reversed(sources):
        source = one if isinstance(source, NoTokens) else EitherTokens(one, source)
    return Tokens(source, background, issuers)


def issuers_of(settings: Settings) -> tuple[Issuer, ...]:
    """The issuers whose users sign in. Raises ConfigError."""
    others = "--tokens-file" if settings.tokens_file is not None else "--token-review" if settings.token_review else ""
    where = "--oidc-issuer (OIDC_ISSUER)" if settings.oidc_file is None else f"--oidc-file: {settings.oidc_file}"
    try:
        found = (_of_flags(settings),) if settings.oidc_file is None else tuple(_of_file(settings.oidc_file))
        keep_apart(found, others=others)
    except ValueError as fault:
        raise ConfigError(f"{where}: {fault}") from None
    return found


def _of_flags(settings: Settings) -> Issuer:
    found = Issuer(
        settings.oidc_issuer,
        settings.oidc_audiences,
        settings.oidc_authorized_parties,
        settings.oidc_username_claim,
        settings.oidc_username_prefix,
        settings.oidc_groups_claim,
        settings.oidc_groups_prefix,
        settings.oidc_ca_file,
    )
    check(found)
    return found


def _of_file(path: Path) -> Sequence[Issuer]:
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        raise ValueError("cannot be read as YAML") from None
    if not isinstance(document, list) or not document:
        raise ValueError("must be a list of issuers, each with issuer and audiences")
    found = []
    for number, entry in enumerate(document, 1):
        if not isinstance(entry, dict):
            raise ValueError(f"entry {number}: must have issuer and audiences, got {type(entry).__name__}")  # noqa: TRY004 -- of the file
        try:
            found.append(issuer(entry))
        except ValueError as fault:
            raise ValueError(f"entry {number}: {fault}") from None
    return found


def _oidc(issuers: Sequence[Issuer]) -> tuple[OidcTokens, list[Background]]:
    # Here and not above: the JOSE library and requests are no part of a start without issuers.
    from maas_api.identity.oidc.fetch import Fetch
    from maas_api.identity.oidc.keeper import Keeper
    from maas_api.identity.oidc.source import OidcTokens

    keepers = [(one, Keeper(one.url, Fetch(one))) for one in issuers]
    return OidcTokens(keepers), [keeper for _, keeper in keepers]


def _count_admin_check(hit: bool) -> None:
    (metrics.sar_cache_hits if hit else metrics.sar_cache_misses).inc()
