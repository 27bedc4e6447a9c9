"""Options and providers of every kind, to render resources with."""

from __future__ import annotations

import dataclasses
from typing import Any

from maas_api.gateway.manifests import OidcIssuer, Options, SecretKey, Target, TokenLimit, render
from maas_api.providers import MAX_NAME, PROVIDERS, provider

OPTIONS = {
    "kuadrant": Options(),
    "kuadrant-strict": Options(
        namespace="models",
        gateway="edge",
        gateway_namespace="edge",
        callback_url="https://maas-api.maas-api.svc:8443/internal/v1/api-keys/validate",
        token_audiences=("a", "b"),
        cache="off",
        token_limits=(TokenLimit(1000, "1m"), TokenLimit(100_000, "24h")),
        internal_secret=SecretKey("maas-internal", "secret"),
        request_timeout="300s",
    ),
    "kuadrant-unlimited": Options(cache="long", token_limits=()),
    "kuadrant-issuer": Options(oidc=OidcIssuer("https://sso.example.com/realms/maas", ("maas",), ("cli", "console"))),
    "kuadrant-literal": Options(provider_keys="literal"),
    "istio": Options(auth="istio", namespace="models", gateway_namespace="istio-ingress"),
}


def target(name: str, **more: Any) -> Target:
    return Target(provider=provider(name, host="" if PROVIDERS[name].host else f"{name}.example.com"), **more)


TARGETS = {
    **{name: target(name) for name in PROVIDERS},
    "own server, private CA": target("vllm", ca="/etc/maas/ca/vllm.pem"),
    "own server, in clear": Target(provider=provider("vllm", host="vllm.models.svc", port=8000), tls=False),
    "the longest name": Target(provider=provider("p" * MAX_NAME, host="llm.example.com")),
    "another port": Target(provider=provider("mistral", host="api.mistral.ai", port=8443)),
}


def options_for(name: str, *targets: Target) -> Options:
    """The options, without limits of tokens where Kuadrant could not count."""
    options = OPTIONS[name]
    counted = all(item.provider.dialect == "openai" for item in targets)
    return options if counted or not options.token_limits else dataclasses.replace(options, token_limits=())


def rendered(options: str, which: str) -> list[dict[str, Any]]:
    keys = {TARGETS[which].provider.name: "a-provider-key"} if options == "kuadrant-literal" else {}
    return render(options_for(options, TARGETS[which]), [TARGETS[which]], keys)


def of_kind(items: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(item for item in items if item["kind"] == kind)
