"""The two idioms that all of Envoy's configuration is written in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Json = dict[str, Any]

_TYPE_URL = "type.googleapis.com/"


def typed(message: str, **fields: Any) -> Json:
    """A protobuf ``Any``: the message's full name and its fields."""
    return {"@type": _TYPE_URL + message, **fields}


def extension(name: str, message: str, **fields: Any) -> Json:
    """A filter, a logger, a transport socket: its registered name and its typed configuration."""
    return {"name": name, "typed_config": typed(message, **fields)}


def watched(file: Path) -> Json:
    """Configuration from a file, read again when something is renamed in its folder.

    Replacing a file by a rename does that, and so does Kubernetes when it updates a mounted ConfigMap or Secret.
    """
    return {
        "path_config_source": {"path": str(file), "watched_directory": {"path": str(file.parent)}},
        "resource_api_version": "V3",
    }
