"""``maas-api gateway secret`` and ``mesh-values``: what a gateway needs beside the rendered resources."""

from __future__ import annotations

import base64
from pathlib import Path

import click

from maas_api.cli.gateway import inputs
from maas_api.gateway.manifests.options import KEYS_SECRET, Options

_DEFAULTS = Options()


@click.command()
@click.argument("provider")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    required=True,
    help="File with the provider's key, - for standard input. The key is not taken from the command line.",
)
@click.option("--namespace", default=_DEFAULTS.gateway_namespace, show_default=True, help="The gateway's namespace.")
@click.option("--name", default=KEYS_SECRET, show_default=True, help="Name of the Secret.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it there, readable by you alone. [default: print]",
)
def secret(*, provider: str, key_file: Path, namespace: str, name: str, output: Path | None) -> None:
    """Print the Secret from which the gateway reads PROVIDER's key.

    Applied on the server's side, several providers' entries come together in one Secret, and a new key replaces the
    old one; the gateway uses it as soon as the kubelet has updated the mounted Secret, without a restart.

    \b
    Example:
        maas-api gateway secret openai --key-file openai.key |
            kubectl apply --server-side --field-manager maas-openai -f -
    """
    from maas_api.gateway.envoy.secrets import provider_secret, render_secret
    from maas_api.gateway.manifests import to_yaml
    from maas_api.gateway.process import write_atomically

    try:
        entry = provider_secret(provider)
        text = render_secret(entry, inputs.read_key(key_file))
    except ValueError as fault:
        inputs.refuse(fault)
    manifest = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/name": "maas-api"}},
        "data": {f"{entry}.yaml": base64.b64encode(text.encode()).decode()},
    }
    if output is None:
        click.echo(to_yaml([manifest]), nl=False)
    else:
        write_atomically(output, to_yaml([manifest]), mode=0o600)


@click.command("mesh-values")
@click.option(
    "--service",
    default="maas-api.maas-api.svc.cluster.local",
    show_default=True,
    help="maas-api's full name in the cluster.",
)
@click.option("--port", type=click.IntRange(1, 65535), default=8443, show_default=True, help="Its port.")
@click.option("--authorizer", default=_DEFAULTS.authorizer, show_default=True, help="Name of the extension provider.")
@click.option(
    "--metering",
    type=click.Choice(["off", "filter", "telemetry"]),
    default=_DEFAULTS.metering,
    show_default=True,
    help="As render is told.",
)
def mesh_values(*, service: str, port: int, authorizer: str, metering: str) -> None:
    """Print the mesh's part of --auth istio: values with the extension provider that asks maas-api.

    With --metering its answer says what a call is counted under, and with telemetry there is one for the log.

    \b
    Example:
        maas-api gateway mesh-values > mesh-values.yaml
        helm upgrade istiod istio/istiod -n istio-system --reuse-values -f mesh-values.yaml
    """
    from maas_api.gateway import manifests

    values = manifests.mesh_values(service, port, authorizer, metering=metering)
    click.echo(manifests.to_yaml([values]), nl=False)
