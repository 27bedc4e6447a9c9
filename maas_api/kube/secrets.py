"""One entry of a Kubernetes Secret, read once at start."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from maas_api.config import ConfigError, Settings
from maas_api.kube.client import KubeError, connect
from maas_api.kube.credentials import in_cluster


def reader(settings: Settings, environ: Mapping[str, str]) -> Callable[[str, str, str], str]:
    """Reads (namespace, name, key) over the settings' cluster; raises ConfigError, never showing a value."""

    def read(namespace: str, name: str, key: str) -> str:
        option = "--database-secret (DATABASE_SECRET)"
        if settings.kubernetes == "off" or (settings.kubeconfig is None and not in_cluster(environ)):
            raise ConfigError(f"{option}: {namespace}/{name} needs a cluster, and none is set")
        try:
            client = connect(settings.kubeconfig)
            try:
                data = client.read_secret(namespace, name)
            finally:
                client.close()
        except KubeError as fault:
            raise ConfigError(f"{option}: Secret {namespace}/{name} cannot be read: {fault}") from None
        if key not in data:
            raise ConfigError(f"{option}: Secret {namespace}/{name} has no entry {key}")
        try:
            return data[key].decode("utf-8")
        except UnicodeDecodeError:
            raise ConfigError(f"{option}: Secret {namespace}/{name}, entry {key}: must be UTF-8 text") from None

    return read
