"""``maas-api gateway render``: the resources that lead a cluster's gateway to external providers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maas_api.cli.gateway import inputs, rates
from maas_api.gateway.manifests.options import (
    CACHE_SECONDS,
    USUAL_CACHE,
    USUAL_LIMITS,
    OptionError,
    Options,
)

if TYPE_CHECKING:
    from maas_api.gateway.manifests import Manifest

_DEFAULTS = Options()
_HEADER = """Written by maas-api gateway render. Edit the registry or the options, not this file."""


@click.command()
@click.option(
    "--registry",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    help="Manifest of the registry ConfigMap, - for standard input: every provider in it is rendered.",
)
@click.option(
    "--live",
    metavar="NAMESPACE[/NAME]",
    help=f"Read the registry ConfigMap from the cluster instead. [default name: {inputs.REGISTRY}]",
)
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="KUBECONFIG",
    help="For --live. [default: the pod's service account] [env: KUBECONFIG]",
)
@click.option(
    "--provider", "providers", multiple=True, metavar="NAME", help="Render this provider (in the registry or not)."
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME=URL",
    help="Where a provider answers: https://host, https://host:port, or http:// inside a trusted network.",
)
@click.option(
    "--ca",
    "cas",
    multiple=True,
    metavar="NAME=PATH",
    help="File in the gateway's pods with the CAs that sign a provider's certificate. [default: the public ones]",
)
@click.option("--namespace", default=_DEFAULTS.namespace, show_default=True, help="Namespace of the resources.")
@click.option("--gateway", "gateway_name", default=_DEFAULTS.gateway, show_default=True, help="Name of the Gateway.")
@click.option("--gateway-namespace", default=_DEFAULTS.gateway_namespace, show_default=True, help="Its namespace.")
@click.option(
    "--auth",
    type=click.Choice(["kuadrant", "istio"]),
    default=_DEFAULTS.auth,
    show_default=True,
    help="Who asks maas-api: Kuadrant's AuthPolicy by callback, or Istio itself by ext_authz.",
)
@click.option("--callback-url", default=_DEFAULTS.callback_url, show_default=True, help="Where keys are validated.")
@click.option(
    "--token-audience",
    "audiences",
    multiple=True,
    default=_DEFAULTS.token_audiences,
    show_default=True,
    help="Audience that a service account's token must carry. May be given again; none, beside --oidc-issuer: the "
    "cluster's tokens are not let in.",
)
@click.option(
    "--oidc-issuer",
    default="",
    metavar="URL",
    help="Have Authorino verify tokens of this OpenID Connect issuer; the service must be told the same (OIDC_ISSUER).",
)
@click.option(
    "--oidc-audience",
    "oidc_audiences",
    multiple=True,
    metavar="NAME",
    help="Audience (aud) that they must carry. May be given again.",
)
@click.option(
    "--oidc-authorized-party",
    "oidc_parties",
    multiple=True,
    metavar="NAME",
    help="Application (azp, else client_id) that they must have been made for. May be given again. [default: any]",
)
@click.option(
    "--cache",
    type=click.Choice(list(CACHE_SECONDS)),
    help="How long Authorino remembers a key's validation, and so how much longer a revoked key may work: "
    + ", ".join(f"{name} {seconds} s" for name, seconds in CACHE_SECONDS.items())
    + f". [default: {USUAL_CACHE}]",
)
@click.option(
    "--token-limit",
    "limits",
    multiple=True,
    metavar="N/WINDOW",
    help="Tokens for each caller, such as 100/1m. May be given again; none for no limit. Kuadrant counts OpenAI's "
    f"usage alone. [default: {USUAL_LIMITS[0].limit}/{USUAL_LIMITS[0].window} where it counts]",
)
@click.option(
    "--internal-secret",
    metavar="SECRET/KEY",
    help="Secret (where Kuadrant keeps its AuthConfigs) with the value that the callback asks for.",
)
@click.option(
    "--request-timeout",
    default=_DEFAULTS.request_timeout,
    show_default=True,
    help="Longest duration of one request; 0s: as long as it lives.",
)
@click.option(
    "--authorizer", default=_DEFAULTS.authorizer, show_default=True, help="The mesh's extension provider (Istio)."
)
@click.option(
    "--service",
    default="",
    help="maas-api's name in the cluster, <name>.<namespace>.svc. [default: the callback's host]",
)
@click.option("--port", type=click.IntRange(1, 65535), help="Its port. [default: the callback's]")
@click.option(
    "--one-url",
    is_flag=True,
    help="Let every model be called at the gateway's root too, by its name in the body. On Kuadrant, a provider's.",
)
@click.option(
    "--metering",
    type=click.Choice(["off", "filter", "telemetry"]),
    default=_DEFAULTS.metering,
    show_default=True,
    help="Count calls: read answers, log them to an OpenTelemetry collector (rendered too) that posts to maas-api. The "
    "log is the gateway's own with filter; telemetry uses Istio's, and mesh-values --metering telemetry.",
)
@click.option(
    "--usage-secret",
    default="/".join(_DEFAULTS.usage_secret),
    show_default=True,
    metavar="SECRET/KEY",
    help="Secret beside maas-api with what the collector shows to it (USAGE_SECRET_FILE).",
)
@click.option("--collector-image", default=_DEFAULTS.collector_image, show_default=True, help="Image of the collector.")
@click.option(
    "--include-usage",
    is_flag=True,
    help="Ask for the usage of streams of Chat and Completions that do not say whether their client wants it; it sees "
    "one more chunk, without choices.",
)
@click.option(
    "--rate-limit-service",
    default="",
    metavar="HOST:PORT",
    help="Have rates of under an hour kept by this service (envoyproxy/ratelimit, or one that adds as it does); needs "
    "--metering.",
)
@click.option(
    "--rate-limit",
    "rates",
    multiple=True,
    metavar="RATE",
    help="'60 requests/1m' or '100000 tokens/1m' for each user of each model. May be given again.",
)
@click.option(
    "--subscriptions",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Manifests of MaaSSubscriptions (and MaaSModelRefs): their limits of under an hour are rendered, too.",
)
@click.option(
    "--open-path",
    "open_paths",
    multiple=True,
    metavar="RULE",
    help="Open more of a provider's account than models, such as 'openai:GET /v1/files*'; as --provider-open-paths of "
    "the service, which must be told the same. May be given again.",
)
@click.option(
    "--provider-keys",
    type=click.Choice(["secret", "literal"]),
    default=_DEFAULTS.provider_keys,
    show_default=True,
    help="Where the gateway has the providers' keys from: a mounted Secret, or written out in the AuthPolicy.",
)
@click.option(
    "--provider-key-file",
    "key_files",
    multiple=True,
    metavar="NAME=PATH",
    help="File with a provider's key, for --provider-keys literal.",
)
@click.option(
    "--output-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write one file for each provider and a kustomization there. [default: print one YAML stream]",
)
def render(**values: Any) -> None:
    """Print the resources that route to external providers.

    For each provider of the registry: a Service, ServiceEntry and DestinationRule (TLS, verified), an HTTPRoute for
    /external/<provider>/, who may pass, how many tokens each caller may use, and how the provider's key gets in.

    \b
    Examples:
        maas-api gateway render --live opendatahub --kubeconfig ~/.kube/config | kubectl apply -f -
        kubectl get configmap external-model-registry -n opendatahub -o yaml |
            maas-api gateway render --registry - | kubectl apply -f -
        maas-api gateway render --provider openai --auth istio --gateway-namespace istio-ingress
        maas-api gateway render --provider vllm --host vllm=https://vllm.example.com --output-dir external-models
    """
    try:
        options = inputs.options(values)
        targets = inputs.targets(values)
        keys = inputs.keys(values["key_files"])
        limits = rates.rates(values)
        from maas_api.gateway import manifests

        rendered = manifests.render(options, targets, keys, limits)
    except (OptionError, ValueError) as fault:
        inputs.refuse(fault)
    for opened in options.open_paths:
        click.echo(
            f"Warning: {opened} is open: what one caller stores there, every other can read and delete.", err=True
        )
    literal = bool(keys)
    if literal:
        click.echo("Warning: the provider keys stand in the AuthPolicies in clear text.", err=True)
    if values["output_dir"] is None:
        click.echo(manifests.to_yaml(rendered, header=_HEADER), nl=False)
        return
    written = _write(values["output_dir"], rendered, manifests.to_yaml, 0o600 if literal else 0o644)
    click.echo("\n".join(str(path) for path in written), err=True)


def _write(folder: Path, rendered: list[Manifest], to_yaml: Callable[..., str], mode: int) -> list[Path]:
    """One file for each provider, and a kustomization over them, written at once or not at all each."""
    from maas_api.gateway.manifests import PROVIDER_LABEL
    from maas_api.gateway.process import write_atomically

    folder.mkdir(parents=True, exist_ok=True)
    by_file: dict[str, list[Manifest]] = {}
    for manifest in rendered:
        by_file.setdefault(manifest["metadata"]["labels"].get(PROVIDER_LABEL, "gateway"), []).append(manifest)
    written = []
    for name, manifests in by_file.items():
        path = folder / f"{name}.yaml"
        write_atomically(path, to_yaml(manifests, header=_HEADER), mode=mode)
        written.append(path)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [path.name for path in written],
    }
    path = folder / "kustomization.yaml"
    write_atomically(path, to_yaml([kustomization], header=_HEADER))
    return [*written, path]
