"""Keys in Envoy: each in a file of its own that Envoy reads by SDS and reads again when it is replaced.

No key is in the configuration, in an argument or in the environment; the configuration names the file.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from maas_api.gateway.envoy.xds import Json, typed, watched

FOLDER = "secrets"
"""The subfolder of the configuration that holds nothing but secret files (mode 0700)."""

INTERNAL_SECRET = "internal"  # noqa: S105 - the file's name
"""The secret shared with ``/internal``."""


def provider_secret(provider: str) -> str:
    """The secret's name of a provider's key."""
    return f"provider-{provider}"


def file_name(secret: str) -> str:
    """Where a secret lies, relative to the configuration folder."""
    return f"{FOLDER}/{secret}.yaml"


def render_secret(secret: str, value: str) -> str:
    """The text of a secret's file. Raises ValueError, without the value, when it cannot be a header's value.

    The value stands inline: Envoy reloads a generic secret when this file is replaced, but not when a file that it
    refers to is.
    """
    if not value or not all(0x20 < ord(char) < 0x7F for char in value):
        raise ValueError(f"secret {secret!r}: must be printable ASCII without spaces, and not empty")
    resource = typed(
        "envoy.extensions.transport_sockets.tls.v3.Secret",
        name=secret,
        generic_secret={"secret": {"inline_string": value}},
    )
    return yaml.safe_dump({"resources": [resource]}, sort_keys=False, width=1_000_000)


def secret_source(secret: str, folder: Path) -> Json:
    """The reference to a secret's file, as Envoy's ``SdsSecretConfig``."""
    return {"name": secret, "sds_config": watched(folder / file_name(secret))}
