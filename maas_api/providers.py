"""What each external provider needs from the gateway. To add a provider, add an entry to ``PROVIDERS``.

An entry says how a request must look when it reaches the provider. Where it is really sent (another address, a
private CA) and which key it carries belong to the installation, not to this table.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

PATH_ROOT = "/external/"
"""Every provider's route starts here: ``/external/<provider>/``."""

Dialect = Literal["openai", "anthropic"]
"""Whose SDK talks to the provider, which decides the shape of an error."""


class UnknownProvider(ValueError):  # noqa: N818 - names the state, like LookupError
    """No entry of that name, or one that lacks its host. The message says what to do."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One provider of models outside the cluster."""

    name: str
    """The word in the registry's ``provider`` field and in the path ``/external/<name>/``."""
    host: str | None
    """Where it answers; None where only the operator knows (an own server, an Azure resource)."""
    port: int = 443
    base_path: str = "/"
    """What replaces ``/external/<name>/`` in the path."""
    credential_header: str = "authorization"
    credential_prefix: str = "Bearer "
    """What stands before the key in that header."""
    default_headers: tuple[tuple[str, str], ...] = ()
    """Headers the provider insists on; a value the client sends wins."""
    private_response_headers: tuple[str, ...] = ("set-cookie",)
    """Headers of answers that concern the holder of the provider key, not the caller."""
    dialect: Dialect = "openai"
    model_paths: tuple[str, ...] = (
        "v1/chat/completions",
        "v1/completions",
        "v1/responses",
        "v1/embeddings",
        "v1/moderations",
        "v1/images/generations",
        "v1/audio/speech",
    )
    """Paths, relative to the route, that run exactly one model: the one the JSON body names in ``model``, or the one
    in place of ``{model}``. POST on them is all that is open, because elsewhere (batches, files, fine-tuning) a request
    uses models that it does not name, or reads what belongs to others of the operator's account."""
    bearer_paths: tuple[str, ...] = ()
    """Further such paths, in OpenAI's dialect, where the key is expected as ``Authorization: Bearer`` instead."""
    v1: str = "v1/"
    """Where the endpoints that the root offers as ``/v1/...`` lie, relative to the route."""

    @property
    def path_prefix(self) -> str:
        """The route at the gateway, with both slashes."""
        return f"{PATH_ROOT}{self.name}/"

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The root's endpoints that the provider speaks, of :data:`ENDPOINTS`."""
        paths = frozenset((*self.model_paths, *self.bearer_paths))
        return tuple(name for name in ENDPOINTS if self.v1 + name in paths)

    def model_at(self, path: str) -> str | None:
        """What a path (relative to the route, percent-decoded) says of the model that POST runs there: its name, or ""
        where the body names it. None: the path runs no single model."""
        for pattern in (*self.model_paths, *self.bearer_paths):
            before, placeholder, after = pattern.partition("{model}")
            if not placeholder:
                if path == pattern:
                    return ""
                continue
            named = path[len(before) : len(path) - len(after)]
            if path.startswith(before) and path.endswith(after) and named and "/" not in named:
                return named
        return None


ENDPOINTS = (
    "chat/completions",
    "completions",
    "responses",
    "embeddings",
    "moderations",
    "images/generations",
    "audio/speech",
    "messages",
    "messages/count_tokens",
)
"""What the gateway's root offers below ``/v1/``, with POST and the model's name in the body."""


_ENTRIES = (
    Provider(
        name="openai",
        host="api.openai.com",
        private_response_headers=("set-cookie", "openai-organization", "openai-project"),
    ),
    Provider(
        name="anthropic",
        host="api.anthropic.com",
        credential_header="x-api-key",
        credential_prefix="",
        default_headers=(("anthropic-version", "2023-06-01"),),
        private_response_headers=("set-cookie", "anthropic-organization-id"),
        dialect="anthropic",
        model_paths=("v1/messages", "v1/messages/count_tokens", "v1/complete"),
        bearer_paths=("v1/chat/completions",),
    ),
    Provider(name="vllm", host=None, model_paths=tuple(f"v1/{name}" for name in ENDPOINTS)),
    Provider(
        name="azure",
        host=None,
        credential_header="api-key",
        credential_prefix="",
        model_paths=(
            "openai/v1/chat/completions",
            "openai/v1/responses",
            "openai/v1/embeddings",
            "openai/deployments/{model}/chat/completions",
            "openai/deployments/{model}/completions",
            "openai/deployments/{model}/embeddings",
            "openai/deployments/{model}/images/generations",
        ),
        v1="openai/v1/",
    ),
)

PROVIDERS: Mapping[str, Provider] = MappingProxyType({entry.name: entry for entry in _ENTRIES})
"""Every known provider, by name."""

CREDENTIAL_HEADERS = tuple(dict.fromkeys(("authorization", *(entry.credential_header for entry in _ENTRIES))))
"""Headers in which a client may carry its MaaS key, in the order they are looked at: each SDK sends the one its
provider wants. All of them are removed before a request reaches a model."""

SERVICE_SUFFIX = "-external"
"""What follows a provider's name in that of the Service that stands for it in a cluster."""
MAX_NAME = 63 - len(SERVICE_SUFFIX)
NAME_RULE = f"must be 1 to {MAX_NAME} lower-case letters, digits and inner hyphens, a letter first"
"""A Service's name is an RFC 1035 label of 63 characters at the most; the API server checks it, so we do before."""

_NAME = re.compile(rf"(?=.{{1,{MAX_NAME}}}$)[a-z]([a-z0-9-]*[a-z0-9])?")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", re.IGNORECASE)


def is_name(text: str) -> bool:
    """Whether a provider can be called that: in the registry, in a path, and as a part of names in a cluster."""
    return _NAME.fullmatch(text) is not None


def entry_for(name: str) -> Provider:
    """The entry called ``name``; an OpenAI-compatible server without a host where there is none."""
    return PROVIDERS.get(name) or Provider(name=name, host=None)


def provider(name: str, *, host: str = "", port: int | None = None) -> Provider:
    """The entry called ``name``, with the installation's own host and port where given.

    A name without an entry is an OpenAI-compatible server, and then needs a host. Raises UnknownProvider for that,
    for a name that cannot stand in a path, and for a host that is not one.
    """
    if not is_name(name):
        raise UnknownProvider(f"provider {name!r}: {NAME_RULE}")
    if host and not _HOST.fullmatch(host):
        raise UnknownProvider(f"provider {name!r}: host {host!r} is not a host name or IPv4 address")
    entry = entry_for(name)
    entry = dataclasses.replace(entry, host=host or entry.host, port=port or entry.port)
    if entry.host is None:
        known = ", ".join(item.name for item in _ENTRIES if item.host)
        raise UnknownProvider(f"provider {name!r}: needs a host (those with one of their own: {known})")
    return entry
