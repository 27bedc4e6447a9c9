"""Access as the settings say: what narrows the rule, over the cluster and the subscriptions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from maas_api.access import opened
from maas_api.access.caller import Access
from maas_api.access.namespaces import ReviewedNamespaces
from maas_api.access.opened import OpenedPath
from maas_api.access.subscriptions import Visibility
from maas_api.config import ConfigError, Settings
from maas_api.identity.headers import Identity
from maas_api.kube.client import Client
from maas_api.kube.objects import LLM_INFERENCE_SERVICE
from maas_api.lifecycle import Background
from maas_api.subscriptions.directory import Directory


@dataclass(frozen=True)
class Assembled:
    """What the composition root needs of the room."""

    access: Access
    paths: tuple[OpenedPath, ...]
    background: Sequence[Background]


def build(settings: Settings, client: Client | None, directory: Directory) -> Assembled:
    """The rule's two sources beside the key itself. Raises ConfigError for a check that has no cluster to ask."""
    namespaces = _namespaces(settings, client)
    access = Access(namespaces, Visibility(directory))
    return Assembled(access, _paths(settings), () if namespaces is None else (namespaces,))


def _paths(settings: Settings) -> tuple[OpenedPath, ...]:
    try:
        return opened.parse(settings.provider_open_paths)
    except ValueError as fault:
        raise ConfigError(f"--provider-open-paths (PROVIDER_OPEN_PATHS): {fault}") from None


def _namespaces(settings: Settings, client: Client | None) -> ReviewedNamespaces | None:
    if not settings.namespace_access_check:
        return None
    if client is None:
        raise ConfigError(
            "--namespace-access-check (NAMESPACE_ACCESS_CHECK): needs a cluster to ask, and --kubernetes is off"
        )

    def ask(who: Identity, namespace: str) -> bool:
        kind = LLM_INFERENCE_SERVICE
        attributes = {"namespace": namespace, "verb": "get", "group": kind.group, "resource": kind.plural}
        return client.subject_access_review(who.username, who.groups, attributes)

    return ReviewedNamespaces(ask)
