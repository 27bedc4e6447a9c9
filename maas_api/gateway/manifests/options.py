"""What an operator decides about the rendered resources. Checked when built; a wrong value names its rule."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from maas_api.access.opened import OpenedPath
from maas_api.providers import Provider

CACHE_SECONDS: Mapping[str, int] = MappingProxyType({"off": 0, "short": 10, "standard": 60, "long": 300})
"""Preset -> how long Authorino remembers what the callback said. A revoked key works at most that much longer; off
asks at each request. The Go service's own policy remembers for 60 seconds."""

KEYS_FOLDER = "/etc/maas"
"""Where the gateway's pods have the Secret with the provider keys mounted: in its subfolder ``secrets``."""

KEYS_SECRET = "maas-provider-keys"  # noqa: S105 - the Secret's name
"""The Secret with one entry for each provider, as ``maas-api gateway secret`` writes it."""


class OptionError(ValueError):
    """An option that cannot be used. The message names it, its rule and what was received."""


class SecretKey(NamedTuple):
    """One entry of a Kubernetes Secret."""

    name: str
    key: str


class OidcIssuer(NamedTuple):
    """Whose users the policies let in by JWT: one of ``audiences`` in ``aud``, one of ``parties`` in ``azp`` (or, where
    a token has none, in ``client_id``); no parties: any."""

    url: str
    audiences: tuple[str, ...]
    parties: tuple[str, ...] = ()


class Api(NamedTuple):
    """maas-api's Service in the cluster."""

    name: str
    namespace: str
    port: int


class TokenLimit(NamedTuple):
    """So many tokens in a window such as ``1m`` for each caller."""

    limit: int
    window: str


COLLECTOR_IMAGE = "ghcr.io/open-telemetry/opentelemetry-collector-releases/opentelemetry-collector-k8s:0.165.0"
"""The OpenTelemetry collector's distribution for Kubernetes; the core one has no queue on disk."""

USAGE_SECRET = SecretKey("maas-api-usage", "secret")
USUAL_CACHE = "standard"
USUAL_LIMITS = (TokenLimit(100, "1m"),)
"""The seed's."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options that all providers share. The defaults are those of the platform's own installation."""

    namespace: str = "openshift-ingress"
    gateway: str = "maas-default-gateway"
    gateway_namespace: str = "openshift-ingress"
    auth: Literal["kuadrant", "istio"] = "kuadrant"
    callback_url: str = "https://maas-api.opendatahub.svc.cluster.local:8443/internal/v1/api-keys/validate"
    token_audiences: tuple[str, ...] = ("maas-default-gateway-sa",)
    """Of tokens of the cluster. Empty, beside an issuer: they are not let in."""
    oidc: OidcIssuer | None = None
    """For Kuadrant: Authorino verifies the issuer's tokens, before maas-api is asked."""
    cache: str | None = None
    """A preset of CACHE_SECONDS, for Kuadrant alone; None for the usual one."""
    token_limits: tuple[TokenLimit, ...] | None = None
    """Kuadrant alone; empty for no limit. None: the seed's, where a limit has an effect."""
    internal_secret: SecretKey | None = None
    """The Secret, in the namespace of Kuadrant's AuthConfigs, whose value Authorino shows to the callback."""
    provider_keys: Literal["secret", "literal"] = "secret"
    authorizer: str = "maas-api-authz"
    """The mesh's extension provider that asks maas-api, for ``auth="istio"``."""
    request_timeout: str = "0s"
    """``0s``: a stream lasts as long as it lives."""
    service: str = ""
    """maas-api's name in the cluster, ``<name>.<namespace>.svc`` and what may follow; "" for the callback's host."""
    port: int | None = None
    """Its port; None for the callback's."""
    open_paths: tuple[OpenedPath, ...] = ()
    """What of the providers' accounts is open beside models. The service must be told the same."""

    metering: Literal["off", "filter", "telemetry"] = "off"
    """Whether calls are counted, and by what the gateway's log gets to the collector (:mod:`.usage`)."""
    usage_secret: SecretKey = USAGE_SECRET
    """The Secret beside maas-api whose value the collector shows to it."""
    collector_image: str = COLLECTOR_IMAGE

    include_usage: bool = False
    """Whether streams are asked for their usage where the client did not say whether it wants it."""
    rate_limit_service: tuple[str, int] | None = None
    """Host and port of who counts rates of under an hour (:mod:`.limits`); needs metering."""

    one_url: bool = False
    """Whether every model is called at the gateway's root, too."""

    def bearer_paths(self, target: Target) -> tuple[str, ...]:
        """The provider's paths that want its key as ``Authorization: Bearer``. A policy has it in one header only."""
        return target.provider.bearer_paths if self.provider_keys == "secret" else ()

    @property
    def limits_at_root(self) -> tuple[TokenLimit, ...]:
        """Kuadrant's limits at the root, where OpenAI's usage alone is counted as well."""
        return USUAL_LIMITS if self.token_limits is None else self.token_limits

    @property
    def api(self) -> Api:
        """Where a provider's list of models is answered. Raises OptionError for a name that is no Service's."""
        parts = urlsplit(self.callback_url)
        host = self.service or parts.hostname or ""
        name, _, rest = host.partition(".")
        namespace, _, kind = rest.partition(".")
        if not (_LABEL.fullmatch(name) and _LABEL.fullmatch(namespace) and kind.partition(".")[0] in ("", "svc")):
            raise OptionError(f"service: must be maas-api's name in the cluster, <name>.<namespace>.svc, got {host!r}")
        return Api(name, namespace, self.port or parts.port or 8443)

    @property
    def cache_seconds(self) -> int:
        """How long Authorino remembers an answer."""
        return CACHE_SECONDS[self.cache or USUAL_CACHE]

    def limits_for(self, target: Target) -> tuple[TokenLimit, ...]:
        """The limits on a provider's route. Raises OptionError for one that would have no effect there."""
        counted = target.provider.dialect == "openai"
        if self.token_limits is None:
            return USUAL_LIMITS if counted and self.auth == "kuadrant" else ()
        if self.token_limits and not counted:
            name = target.provider.name
            raise OptionError(
                f"token-limit: would have no effect on {name}: Kuadrant counts usage.total_tokens, which answers in "
                f"Anthropic's shape do not have. Render {name} by itself with --token-limit none"
            )
        return self.token_limits

    def __post_init__(self) -> None:
        """Raises OptionError."""
        for name in ("namespace", "gateway", "gateway_namespace", "authorizer"):
            _require(_LABEL, name, getattr(self, name), "must be a DNS label")
        if self.auth not in ("kuadrant", "istio"):
            raise OptionError(f"auth: must be kuadrant or istio, got {self.auth!r}")
        if self.metering not in ("off", "filter", "telemetry"):
            raise OptionError(f"metering: must be off, filter or telemetry, got {self.metering!r}")
        if self.metering != "off" and self.provider_keys == "literal":
            raise OptionError(
                "metering: needs the providers' keys in the Secret; beside literal ones answers come packed"
            )
        if self.provider_keys not in ("secret", "literal"):
            raise OptionError(f"provider-keys: must be secret or literal, got {self.provider_keys!r}")
        if self.provider_keys == "literal" and self.auth != "kuadrant":
            raise OptionError("provider-keys: literal is for Kuadrant's AuthPolicy; Istio reads keys from the Secret")
        if self.provider_keys == "literal" and self.one_url:
            raise OptionError("one-url: a policy at the root cannot tell whose key to put in; keep them in the Secret")
        if self.auth == "istio" and self.cache is not None:
            raise OptionError("cache: is Authorino's; with --auth istio the gateway asks at every request")
        if self.auth == "istio" and self.token_limits:
            raise OptionError("token-limit: is Kuadrant's TokenRateLimitPolicy; with --auth istio nobody would count")
        if self.cache is not None and self.cache not in CACHE_SECONDS:
            raise OptionError(f"cache: must be one of {', '.join(CACHE_SECONDS)}, got {self.cache!r}")
        parts = urlsplit(self.callback_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise OptionError(f"callback-url: must be an http:// or https:// URL, got {self.callback_url!r}")
        if (not self.token_audiences and self.oidc is None) or not all(text.strip() for text in self.token_audiences):
            raise OptionError("token-audience: at least one, or the token of any service would do")
        if self.oidc is not None:
            _check_issuer(self.oidc, self.auth)
        for opened in self.open_paths:
            if opened.method not in _METHODS:
                raise OptionError(f"open-path: the method must be one of {', '.join(_METHODS)}, got {str(opened)!r}")
        for limit in self.token_limits or ():
            if limit.limit < 1:
                raise OptionError(f"token-limit: must allow at least 1 token, got {limit.limit}")
            _require(_WINDOW, "token-limit", limit.window, "must have a window such as 30s, 1m or 24h")
        _require(_WINDOW, "request-timeout", self.request_timeout, "must be a duration such as 300s, or 0s for none")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One provider, and how this mesh reaches it."""

    provider: Provider
    tls: bool = True
    ca: str = "system"
    """The CAs that sign its certificate: a file in the gateway's pods, or ``system`` for the public ones."""

    @property
    def host(self) -> str:
        """The provider's host; raises OptionError where it has none."""
        if self.provider.host is None:
            raise OptionError(f"provider {self.provider.name}: needs a host, give it with --host")
        return self.provider.host

    def __post_init__(self) -> None:
        """Raises OptionError."""
        if self.ca != "system" and not self.ca.startswith("/"):
            raise OptionError(f"ca: must be 'system' or an absolute path in the gateway's pods, got {self.ca!r}")


_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_WINDOW = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")  # Gateway API and Kuadrant share this grammar


def _check_issuer(issuer: OidcIssuer, auth: str) -> None:
    if auth != "kuadrant":
        raise OptionError("oidc-issuer: is for Authorino; with --auth istio maas-api is asked, which knows its issuers")
    parts = urlsplit(issuer.url)
    if parts.scheme != "https" or not parts.hostname or parts.query or parts.fragment:
        raise OptionError(f"oidc-issuer: must be an https:// URL, got {issuer.url!r}")
    if not issuer.audiences or not all(text.strip() for text in (*issuer.audiences, *issuer.parties)):
        raise OptionError("oidc-audience: at least one, or a token that was made for any other service would do")


def _require(pattern: re.Pattern[str], name: str, value: str, rule: str) -> None:
    if not pattern.fullmatch(value):
        raise OptionError(f"{name.replace('_', '-')}: {rule}, got {value!r}")
