"""An OpenTelemetry collector between a gateway's Envoys and maas-api: OTLP in by gRPC, out by HTTP, again until taken.

What it was given is on its disk until maas-api has answered for it, so neither side's restart loses a record. It sends
a batch again as the same bytes, which maas-api counts once.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import yaml

from maas_api.gateway.envoy.metering import USAGE_PATH
from maas_api.gateway.manifests.options import Options
from maas_api.gateway.manifests.resources import Manifest, resource

NAME: Final = "maas-usage-collector"
OTLP_PORT: Final = 4317
BATCH_RECORDS: Final = 250
"""Records of one request at the most: maas-api takes 128 KiB packed and 2 MiB unpacked (MAX_BODY_BYTES)."""
QUEUE_RECORDS: Final = 200_000
"""Records that wait at the most while maas-api is away; some 300 MiB on disk. Further ones are refused, and the gateway
counts them as dropped."""
_QUEUE: Final = "/var/lib/otelcol"
_DISK: Final = "1Gi"
_SECRET_VARIABLE: Final = "MAAS_USAGE_SECRET"  # noqa: S105 -- the variable's name

_POD_LABELS: Final = {"app.kubernetes.io/name": NAME}
_API_LABELS: Final = {"app.kubernetes.io/name": "maas-api", "app.kubernetes.io/component": "api"}


def beside(service: str) -> str:
    """The collector's full name in the cluster, from maas-api's."""
    return f"{NAME}.{service.partition('.')[2]}"


def collector_host(options: Options) -> str:
    """The collector's full name in the cluster; it lives beside maas-api."""
    return f"{NAME}.{options.api.namespace}.svc.cluster.local"


def configuration(options: Options) -> dict[str, Any]:
    """The collector's own configuration, of parts that its Kubernetes distribution has."""
    api = options.api
    exporter = {
        "logs_endpoint": f"https://{api.name}.{api.namespace}.svc.cluster.local:{api.port}{USAGE_PATH}",
        "headers": {"X-MaaS-Internal-Secret": f"${{env:{_SECRET_VARIABLE}}}"},
        "compression": "gzip",
        "timeout": "10s",
        # As the gateway's: the certificate is the service's own, and the NetworkPolicy says who is on the other side.
        "tls": {"insecure_skip_verify": True},
        "retry_on_failure": {
            "enabled": True,
            "initial_interval": "1s",
            "max_interval": "30s",
            "max_elapsed_time": "0s",
        },
        "sending_queue": {
            "enabled": True,
            "storage": "file_storage",
            "sizer": "items",
            "queue_size": QUEUE_RECORDS,
            "num_consumers": 4,
            # In the queue, and not by a processor before it: so a batch is made once, and sent again as it is.
            "batch": {"flush_timeout": "1s", "min_size": BATCH_RECORDS, "max_size": BATCH_RECORDS},
        },
    }
    return {
        "extensions": {"file_storage": {"directory": _QUEUE}},
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"0.0.0.0:{OTLP_PORT}"}}}},
        "exporters": {"otlphttp": exporter},
        "service": {
            "extensions": ["file_storage"],
            "pipelines": {"logs": {"receivers": ["otlp"], "exporters": ["otlphttp"]}},
        },
    }


def collector(options: Options) -> list[Manifest]:
    """The collector, and the NetworkPolicies by which only the gateway reaches it, and it reaches maas-api."""
    text = yaml.safe_dump(configuration(options), sort_keys=False)
    found = [
        resource("v1", "ConfigMap", NAME, options, data={"config.yaml": text}),
        resource("apps/v1", "Deployment", NAME, options, spec=_deployment(options, text)),
        resource("v1", "Service", NAME, options, spec=_service()),
        resource("networking.k8s.io/v1", "NetworkPolicy", NAME, options, spec=_who_reaches_it(options)),
        resource("networking.k8s.io/v1", "NetworkPolicy", f"{NAME}-to-api", options, spec=_whom_it_reaches()),
    ]
    for item in found:
        item["metadata"]["namespace"] = options.api.namespace
    return found


def _deployment(options: Options, config: str) -> Manifest:
    secret = options.usage_secret
    container = {
        "name": "collector",
        "image": options.collector_image,
        "args": ["--config=/etc/otelcol/config.yaml"],
        "ports": [{"name": "otlp", "containerPort": OTLP_PORT}],
        "env": [
            {
                "name": _SECRET_VARIABLE,
                "valueFrom": {"secretKeyRef": {"name": secret.name, "key": secret.key}},
            }
        ],
        "readinessProbe": {"tcpSocket": {"port": "otlp"}, "periodSeconds": 5},
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "config", "mountPath": "/etc/otelcol", "readOnly": True},
            {"name": "queue", "mountPath": _QUEUE},
        ],
    }
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "config", "configMap": {"name": NAME}},
            # Outlives the container, not the pod. A volume of its own outlives both.
            {"name": "queue", "emptyDir": {"sizeLimit": _DISK}},
        ],
    }
    digest = hashlib.sha256(config.encode()).hexdigest()[:16]
    template = {
        "metadata": {"labels": _POD_LABELS, "annotations": {"maas.opendatahub.io/configuration": digest}},
        "spec": pod,
    }
    return {"replicas": 1, "selector": {"matchLabels": _POD_LABELS}, "template": template}


def _service() -> Manifest:
    port = {"name": "grpc-otlp", "port": OTLP_PORT, "targetPort": "otlp", "protocol": "TCP"}
    return {"selector": _POD_LABELS, "ports": [port]}


def _who_reaches_it(options: Options) -> Manifest:
    gateway = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": options.gateway_namespace}},
        "podSelector": {"matchLabels": {"gateway.networking.k8s.io/gateway-name": options.gateway}},
    }
    ports = [{"port": OTLP_PORT, "protocol": "TCP"}]
    return {
        "podSelector": {"matchLabels": _POD_LABELS},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [gateway], "ports": ports}],
    }


def _whom_it_reaches() -> Manifest:
    """Beside the policy of maas-api itself: what either lets in is let in."""
    return {
        "podSelector": {"matchLabels": _API_LABELS},
        "policyTypes": ["Ingress"],
        "ingress": [
            {"from": [{"podSelector": {"matchLabels": _POD_LABELS}}], "ports": [{"port": 8443, "protocol": "TCP"}]}
        ],
    }
