"""What a gateway shall do, as values: the input of :func:`maas_api.gateway.envoy.render`."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from maas_api.gateway.envoy.cors import is_origin
from maas_api.providers import PATH_ROOT, Provider

MAX_BODY_BYTES = 32 * 1024 * 1024
"""The largest body that a model is sent by default: what Anthropic accepts. It is held in memory until it is read."""


class PlanError(ValueError):
    """A plan that no gateway can carry out. The message names the part and the rule."""


class Address(NamedTuple):
    """A TCP address; port 0 lets the system choose."""

    host: str
    port: int


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS towards an upstream. The certificate must be signed by ``ca_file`` (PEM) and carry the name ``sni``."""

    sni: str
    ca_file: Path


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """Where a connection goes, and the ``Host`` it speaks to there."""

    host: str
    port: int
    authority: str = ""
    """The Host header; empty: host and, unless it is the scheme's own, port."""
    base_path: str = "/"
    """What the route's prefix is replaced with; starts and ends with a slash."""
    tls: Tls | None = None

    @property
    def host_header(self) -> str:
        """The Host header of requests sent there."""
        if self.authority:
            return self.authority
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == (443 if self.tls else 80) else f"{shown}:{self.port}"

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address, which needs no name resolution."""
        return is_ip(self.host)

    @classmethod
    def from_url(cls, url: str, *, ca_file: Path | None = None) -> Upstream:
        """The upstream of an ``http://`` or ``https://`` URL; its path becomes the base path.

        Raises PlanError for another scheme, credentials, a query, a missing host or port, and for https without
        ``ca_file``.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as fault:
            raise PlanError(f"upstream {url!r}: {fault}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PlanError(f"upstream {url!r}: must be an http:// or https:// URL with a host")
        if parts.username is not None or parts.password is not None:
            raise PlanError("upstream: a URL must not carry credentials")
        if parts.query or parts.fragment:
            raise PlanError(f"upstream {url!r}: must not have a query or a fragment")
        tls = None
        if parts.scheme == "https":
            if ca_file is None:
                raise PlanError(f"upstream {url!r}: https needs the file of the CAs to trust")
            tls = Tls(sni=parts.hostname, ca_file=ca_file)
        return cls(
            host=parts.hostname,
            port=port or (443 if tls else 80),
            base_path=parts.path.rstrip("/") + "/",
            tls=tls,
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LocalRoute:
    """A model server in the cluster, reached at ``path_prefix``: ``/<namespace>/<name>/``, as KServe's own routes."""

    path_prefix: str
    upstream: Upstream
    several_names: bool = False
    """Whether the server runs more than one model (LoRA adapters), so that the path does not say which."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ProviderRoute:
    """A provider of models outside, reached at ``/external/<name>/``.

    ``upstream`` says where the connection really goes; :func:`provider_route` fills in the provider's own place.
    """

    provider: Provider
    upstream: Upstream


def provider_route(provider: Provider, *, ca_file: Path, connect_to: Address | None = None) -> ProviderRoute:
    """The route to a provider over TLS, verified for the provider's own name.

    ``connect_to`` sends the connection elsewhere (a simulator, an egress proxy) without changing what is said or
    verified there. Raises PlanError for a provider without a host.
    """
    if provider.host is None:
        raise PlanError(f"provider {provider.name!r}: has no host")
    to = connect_to or Address(provider.host, provider.port)
    return ProviderRoute(
        provider=provider,
        upstream=Upstream(
            host=to.host,
            port=to.port,
            authority=provider.host if provider.port == 443 else f"{provider.host}:{provider.port}",
            base_path=provider.base_path,
            tls=Tls(sni=provider.host, ca_file=ca_file),
        ),
    )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One gateway: where it listens, the service that authorizes, and what lies behind."""

    listen: Address
    maas_api: Upstream
    models: tuple[LocalRoute, ...] = ()
    providers: tuple[ProviderRoute, ...] = ()
    internal_secret: bool = False
    """Send the shared secret of ``/internal`` with every question to the authorizer (a secret file, like a key)."""
    usage_repeat_seconds: int = 60
    """How long a batch of records is sent again where the service does not take it."""
    max_body_bytes: int = MAX_BODY_BYTES
    """The largest body of a request; a larger one is 413."""
    max_heap_bytes: int = 1024 * 1024 * 1024
    """The gateway's memory: near it, requests that hold the most are reset and no new ones are taken."""

    include_usage: bool = False
    """Ask for the usage of streams of Chat and Completions whose client did not say whether it wants it."""
    rate_limit_service: Address | None = None
    """Who is asked about rates of under an hour (:mod:`.ratelimit`); None: nobody."""
    cors_origins: tuple[str, ...] = ()
    """Origins (``https://chat.example``) whose pages may call from a browser; ``*`` for any."""

    def __post_init__(self) -> None:
        """Raises PlanError where an origin is none, or a path cannot be one, belongs to somebody else, or would lead to
        two places."""
        for origin in self.cors_origins:
            if not is_origin(origin):
                raise PlanError(f"origin {origin!r}: must be https://host or http://host, with :port, or *")
        for model in self.models:
            if not _MODEL_PATH.fullmatch(model.path_prefix):
                raise PlanError(f"model route {model.path_prefix!r}: must be /<namespace>/<name>/ in DNS names")
            if model.path_prefix.startswith(RESERVED):
                raise PlanError(f"model route {model.path_prefix!r}: these paths are the gateway's own: {RESERVED}")
        prefixes = [model.path_prefix for model in self.models]
        prefixes += [route.provider.path_prefix for route in self.providers]
        twice = sorted({prefix for prefix in prefixes if prefixes.count(prefix) > 1})
        if twice:
            raise PlanError(f"route {twice[0]!r}: is there twice, a path can lead to one place only")


# Namespaces are DNS labels, objects of KServe DNS subdomains; nothing in them needs an escape in a path.
_MODEL_PATH = re.compile(r"/[a-z0-9]([a-z0-9-]*[a-z0-9])?/[a-z0-9]([a-z0-9.-]*[a-z0-9])?/")

RESERVED = ("/v1/", "/maas-api/", "/internal/", PATH_ROOT)
"""First segments that no model's namespace may have."""


def is_ip(host: str) -> bool:
    """Whether ``host`` is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
