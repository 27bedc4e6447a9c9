"""Every right this service needs on a cluster, in one place: what it asks for, under which settings, and why.

The roles in ``patches/`` grant exactly these (a test compares them), and a test over the recorded traffic checks that
no other request is made. API discovery (``/api``, ``/apis/...``) is open to every authenticated client of a cluster
by the role ``system:discovery`` and is not listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from maas_api.config import Settings
from maas_api.kube.objects import (
    CONFIG_MAP,
    GROUP,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    LLM_INFERENCE_SERVICE,
    MAAS_AUTH_POLICY,
    MAAS_MODEL_REF,
    MAAS_SUBSCRIPTION,
    Kind,
)

WATCHING = ("list", "watch")


class Permission(NamedTuple):
    """The right to use some verbs on one resource.

    ``namespace``: where, None for the whole cluster. ``name``: the one object it is about, None for any.
    """

    group: str
    resource: str
    verbs: tuple[str, ...]
    namespace: str | None
    name: str | None
    reason: str


def needed(settings: Settings) -> tuple[Permission, ...]:
    """The rights that a service with these settings uses, in a stable order."""
    return () if settings.kubernetes == "off" else tuple(_needed(settings))


def _needed(settings: Settings) -> Iterator[Permission]:
    if settings.source_llminferenceservices != "off":
        yield _watched(LLM_INFERENCE_SERVICE, "in-cluster models, wherever they are served")
        yield _watched(HTTP_ROUTE, "whether an in-cluster model hangs on the gateway")
    if settings.source_inferenceservices != "off":
        yield _watched(INFERENCE_SERVICE, "in-cluster models of the older kind")
    if settings.source_maasmodelrefs != "off":
        yield _watched(MAAS_MODEL_REF, "models that were published by reference")
    if settings.source_registry != "off":
        yield _watched(CONFIG_MAP, "external models", settings.namespace, settings.registry_configmap)
    if settings.source_subscriptions != "off":
        place = settings.maas_subscription_namespace
        yield _watched(MAAS_SUBSCRIPTION, "which subscription a key is bound to", place)
        yield _watched(MAAS_AUTH_POLICY, "which models a subscription's owner may use", place)
    if settings.live_groups == "openshift":
        yield _watched(GROUP, "which groups a key's owner is in now")
    if settings.live_groups == "configmap":
        reason = "which groups a key's owner is in now"
        yield _watched(CONFIG_MAP, reason, settings.namespace, settings.live_groups_configmap)
    if settings.admin_check != "off" or settings.namespace_access_check or settings.tenants_endpoint:
        reason = "who is an admin, and who may see a namespace's models or the tenant"
        yield Permission("authorization.k8s.io", "subjectaccessreviews", ("create",), None, None, reason)
    if settings.token_review or settings.tenants_endpoint:
        reason = "whose a platform token is, where the gateway asks this service"
        yield Permission("authentication.k8s.io", "tokenreviews", ("create",), None, None, reason)
    if settings.tenants_endpoint:
        place, name = settings.gateway_namespace, settings.gateway_name
        reason = "where the tenant's gateway is reached"
        yield Permission("gateway.networking.k8s.io", "gateways", ("list",), place, name, reason)
    if settings.database_secret:
        reason = "where the database is, unless that is mounted"
        yield Permission("", "secrets", ("get",), settings.namespace, settings.database_secret, reason)


def _watched(kind: Kind, reason: str, namespace: str | None = None, name: str | None = None) -> Permission:
    return Permission(kind.group, kind.plural, WATCHING, namespace, name, reason)
