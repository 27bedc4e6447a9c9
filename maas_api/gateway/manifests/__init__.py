"""The resources that lead a cluster's gateway to external providers. Pure: options in, manifests out.

Deterministic, so that a change shows as a diff. One idea to a module: the way (:mod:`.routing`), who may pass
(:mod:`.authpolicy` for Kuadrant, :mod:`.istio` without it), how much (:mod:`.ratelimit`; :mod:`.usage`
counts), and the provider's key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import yaml

from maas_api.gateway.manifests.authpolicy import auth_policy
from maas_api.gateway.manifests.istio import (
    authorization_policy,
    body_reader,
    gateway_parameters,
    key_keeper,
    mesh_values,
    provider_key,
)
from maas_api.gateway.manifests.limits import Rate, rate_limited
from maas_api.gateway.manifests.oneurl import one_url
from maas_api.gateway.manifests.options import (
    CACHE_SECONDS,
    KEYS_FOLDER,
    KEYS_SECRET,
    OidcIssuer,
    OptionError,
    Options,
    SecretKey,
    Target,
    TokenLimit,
)
from maas_api.gateway.manifests.ownroute import listing_auth_policy
from maas_api.gateway.manifests.ratelimit import token_rate_limit_policy
from maas_api.gateway.manifests.resources import PROVIDER_LABEL, Manifest
from maas_api.gateway.manifests.routing import (
    destination_rule,
    external_service,
    http_route,
    listing_route,
    service_entry,
)
from maas_api.gateway.manifests.usage import metered

__all__ = [
    "CACHE_SECONDS",
    "KEYS_FOLDER",
    "KEYS_SECRET",
    "PROVIDER_LABEL",
    "Manifest",
    "OidcIssuer",
    "OptionError",
    "Options",
    "SecretKey",
    "Target",
    "TokenLimit",
    "mesh_values",
    "render",
    "to_yaml",
]


def render(
    options: Options,
    targets: Sequence[Target],
    keys: Mapping[str, str] | None = None,
    rates: Sequence[Rate] = (),
) -> list[Manifest]:
    """The resources of every target, providers by name, each in the order in which they depend on each other.

    ``keys`` are the providers' own (name -> key); they belong to ``provider_keys="literal"`` and to nothing else.
    ``rates`` are what the rate limit service shall keep. Raises OptionError where these do not fit, for a provider
    named twice, and for a limit without effect.
    """
    keys = keys or {}
    names = sorted(target.provider.name for target in targets)
    if len(set(names)) != len(names):
        raise OptionError(f"provider: {next(name for name in names if names.count(name) > 1)} is given twice")
    literal = options.provider_keys == "literal"
    if keys and not literal:
        raise OptionError("provider-key-file: keys are written out with --provider-keys literal only")
    missing = [name for name in names if literal and name not in keys]
    if missing:
        raise OptionError(f"provider-key-file: --provider-keys literal needs one for {', '.join(missing)}")
    unknown = [str(opened) for opened in options.open_paths if opened.provider not in names]
    if unknown:
        raise OptionError(f"open-path: {unknown[0]!r} is of a provider that is not rendered here")
    ordered = sorted(targets, key=lambda target: target.provider.name)
    shared = [body_reader(options)] + ([] if literal else [gateway_parameters(options)])
    if options.auth == "kuadrant":  # elsewhere the answer about a call takes its credential away
        shared.append(key_keeper(options))
    shared += metered(options) + rate_limited(options, rates)
    if options.one_url:
        shared += one_url(options, ordered)
    return shared + [item for target in ordered for item in _of(options, target, keys.get(target.provider.name))]


def _of(options: Options, target: Target, key: str | None) -> list[Manifest]:
    limits = options.limits_for(target)
    manifests = [
        external_service(options, target),
        service_entry(options, target),
        destination_rule(options, target),
    ]
    # Who may pass comes before the way: applied in this order, there is no moment at which the route is open.
    if options.auth == "istio":
        manifests.append(authorization_policy(options, target))
    else:
        manifests += [auth_policy(options, target, key), listing_auth_policy(options, target)]
        if limits:
            manifests.append(token_rate_limit_policy(options, target, limits))
    if key is None:
        manifests.append(provider_key(options, target))
    return [*manifests, http_route(options, target), listing_route(options, target)]


class _Dumper(yaml.SafeDumper):
    """YAML without anchors, and with text of several lines as such."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def to_yaml(manifests: Sequence[Manifest], *, header: str = "") -> str:
    """One YAML stream; ``header`` becomes comment lines at its top."""
    comment = "".join(f"# {line}".rstrip() + "\n" for line in header.splitlines())
    documents = [yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=120) for manifest in manifests]
    return comment + "---\n".join(documents)
