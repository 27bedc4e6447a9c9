"""What ``maas-api gateway`` is given on the command line, as the values that the renderer takes.

Raises OptionError, or the provider table's UnknownProvider. The message names the option, the rule and what was
received, never a key.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import click
import yaml

from maas_api.access import opened
from maas_api.access.opened import OpenedPath
from maas_api.cli.gateway import rates
from maas_api.gateway.manifests.options import OidcIssuer, OptionError, Options, SecretKey, Target, TokenLimit
from maas_api.models.sources import registry
from maas_api.providers import provider

REGISTRY = "external-model-registry"
"""The registry ConfigMap's name unless the service is told another."""

_DNS_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def options(values: Mapping[str, Any]) -> Options:
    """The options that all providers share."""
    oidc = _issuer(values)
    return Options(
        namespace=values["namespace"],
        gateway=values["gateway_name"],
        gateway_namespace=values["gateway_namespace"],
        auth=values["auth"],
        callback_url=values["callback_url"],
        token_audiences=_audiences(values["audiences"], oidc),
        oidc=oidc,
        cache=values["cache"],
        token_limits=_limits(values["limits"]),
        internal_secret=_secret(values, "internal_secret") if values["internal_secret"] else None,
        provider_keys=values["provider_keys"],
        authorizer=values["authorizer"],
        request_timeout=values["request_timeout"],
        service=values["service"],
        port=values["port"],
        open_paths=_opened(values["open_paths"]),
        metering=values["metering"],
        usage_secret=_secret(values, "usage_secret"),
        collector_image=values["collector_image"],
        include_usage=values["include_usage"],
        rate_limit_service=rates.service(values["rate_limit_service"]),
        one_url=values["one_url"],
    )


def _issuer(values: Mapping[str, Any]) -> OidcIssuer | None:
    if values["oidc_issuer"]:
        return OidcIssuer(values["oidc_issuer"], tuple(values["oidc_audiences"]), tuple(values["oidc_parties"]))
    given = next((name for name in ("oidc_audiences", "oidc_parties") if values[name]), None)
    if given is not None:
        raise OptionError("oidc-issuer: must be given too, an audience and an authorized party are of its tokens")
    return None


def _audiences(given: Iterable[str], oidc: OidcIssuer | None) -> tuple[str, ...]:
    found = tuple(given)
    return () if found == ("none",) and oidc is not None else found


def _secret(values: Mapping[str, Any], option: str) -> SecretKey:
    name, slash, key = values[option].partition("/")
    if not (name and slash and key):
        raise OptionError(f"{option.replace('_', '-')}: must be SECRET/KEY, got {values[option]!r}")
    return SecretKey(name, key)


def _opened(rules: Iterable[str]) -> tuple[OpenedPath, ...]:
    try:
        return opened.parse(rules)
    except ValueError as fault:
        raise OptionError(f"open-path: {fault}") from None


def _limits(texts: Iterable[str]) -> tuple[TokenLimit, ...] | None:
    given = tuple(texts)
    if not given:
        return None
    if given == ("none",):
        return ()
    found = []
    for text in given:
        number, slash, window = text.partition("/")
        if not (slash and number.isascii() and number.isdigit()):
            raise OptionError(f"token-limit: must be a number of tokens, a slash and a window (100/1m), got {text!r}")
        found.append(TokenLimit(int(number), window))
    return tuple(found)


def targets(values: Mapping[str, Any]) -> list[Target]:
    """The providers to render: those named, then those of the registry."""
    hosts, cas = _pairs("host", values["hosts"]), _pairs("ca", values["cas"])
    names = list(dict.fromkeys([*values["providers"], *_registered(values)]))
    if not names:
        raise OptionError("registry: names no provider, and no --provider is given: there is nothing to render")
    for option, given in (("host", hosts), ("ca", cas)):
        unknown = sorted(set(given) - set(names))
        if unknown:
            raise OptionError(f"{option}: {unknown[0]!r} is neither in the registry nor given with --provider")
    found = []
    for name in names:
        place = urlsplit(hosts.get(name, "https://"))
        if place.scheme not in ("http", "https") or place.username or place.query or place.path not in ("", "/"):
            raise OptionError(f"host: {name} must be https://host or https://host:port, got {hosts[name]!r}")
        tls = place.scheme == "https"
        port = place.port or (None if tls else 80)
        entry = provider(name, host=place.hostname or "", port=port)
        found.append(Target(provider=entry, tls=tls, ca=cas.get(name, "system")))
    return found


def _registered(values: Mapping[str, Any]) -> list[str]:
    """The providers of the registry, in order. A bad entry is told and left out, as the service does."""
    path, live = values["registry"], values["live"]
    if path is not None and live is not None:
        raise OptionError("live: the registry comes from the cluster or from --registry, not from both")
    if live is not None:
        config_maps = [_from_cluster(live, values["kubeconfig"])]
    else:
        config_maps = [] if path is None else _from_file(path)
    names: list[str] = []
    for config_map in config_maps:
        try:
            mapped = registry.to_entries(config_map)
        except registry.RegistryError as fault:
            raise OptionError(f"registry: {fault}") from None
        for problem in mapped.problems:
            click.echo(f"Warning: {problem}", err=True)
        names += [entry.provider for entry in mapped.entries]
    return names


def _from_file(path: Path) -> list[dict[str, Any]]:
    """The registry ConfigMaps in a file of manifests, single or in a List."""
    text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    try:
        documents = [item for item in yaml.safe_load_all(text) if isinstance(item, dict)]
    except yaml.YAMLError as fault:
        raise OptionError(f"registry: {path} is not YAML: {fault}") from None
    maps = [
        item
        for document in documents
        for item in (document.get("items") or [document])
        if isinstance(item, dict) and item.get("kind") == "ConfigMap" and registry.KEY in (item.get("data") or {})
    ]
    if not maps:
        raise OptionError(f"registry: {path} holds no ConfigMap with a {registry.KEY!r} entry")
    return maps


def _from_cluster(reference: str, kubeconfig: Path | None) -> dict[str, Any]:
    """The ConfigMap ``NAMESPACE`` or ``NAMESPACE/NAME`` as the cluster has it now."""
    from maas_api.kube.client import KubeError, connect

    namespace, _, name = reference.partition("/")
    name = name or REGISTRY
    if not all(_DNS_NAME.fullmatch(part) for part in (namespace, name)):
        raise OptionError(f"live: must be NAMESPACE or NAMESPACE/NAME in DNS names, got {reference!r}")
    query = {"fieldSelector": f"metadata.name={name}"}
    try:
        with closing(connect(kubeconfig)) as client:
            answer = client.get(f"/api/v1/namespaces/{namespace}/configmaps", query)
    except KubeError as fault:
        raise OptionError(f"live: {fault}") from None
    found: list[dict[str, Any]] = answer.get("items") or []
    if not found:
        raise OptionError(f"live: the cluster has no ConfigMap {namespace}/{name}")
    return found[0]


def _pairs(option: str, texts: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise OptionError(f"{option}: must be NAME=VALUE, got {text!r}")
        if name in found:
            raise OptionError(f"{option}: {name!r} is given twice")
        found[name] = value
    return found


def keys(texts: Iterable[str]) -> dict[str, str]:
    """The provider keys in the files named by ``NAME=PATH``."""
    return {name: read_key(Path(path)) for name, path in _pairs("provider-key-file", texts).items()}


def read_key(path: Path) -> str:
    """The one key in a file, ``-`` for standard input."""
    try:
        key = (sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")).strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise OptionError(f"key-file: {path} cannot be read: {type(fault).__name__}") from None
    if not key or not all(0x20 < ord(char) < 0x7F for char in key):
        raise OptionError(f"key-file: {path} must hold one key: printable ASCII without spaces")
    return key


def refuse(fault: Exception) -> NoReturn:
    """Exit 2 with one sentence that names the option."""
    raise click.UsageError(f"--{fault}" if isinstance(fault, OptionError) else str(fault)) from None
