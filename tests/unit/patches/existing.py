"""The Deployment of the Go service as a cluster runs it with TLS, which the swap is made for."""

from __future__ import annotations

import tempfile
from pathlib import Path

import yaml

from tests.support.kubernetes import Object, kubectl

_GO = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: maas-api
  namespace: opendatahub
  annotations: {deployment.kubernetes.io/revision: "1"}
  labels: {app.kubernetes.io/name: maas-api}
spec:
  replicas: 1
  selector:
    matchLabels: {app.kubernetes.io/name: maas-api}
  template:
    metadata:
      labels: {app.kubernetes.io/name: maas-api}
    spec:
      serviceAccountName: maas-api
      securityContext: {runAsNonRoot: true}
      terminationGracePeriodSeconds: 30
      containers:
        - name: maas-api
          image: quay.io/opendatahub/maas-api:latest
          ports:
            - {containerPort: 8443, name: https, protocol: TCP}
            - {containerPort: 9090, name: metrics, protocol: TCP}
          env:
            - name: NAMESPACE
              valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
            - {name: GATEWAY_NAME, value: maas-default-gateway}
            - {name: GATEWAY_NAMESPACE, value: openshift-ingress}
            - {name: MAAS_SUBSCRIPTION_NAMESPACE, value: models-as-a-service}
            - {name: TENANT_NAME, value: models-as-a-service}
            - {name: AITENANT_NAMESPACE, value: ai-tenants}
            - {name: API_KEY_MAX_EXPIRATION_DAYS, value: "90"}
            - {name: SECURE, value: "true"}
            - {name: TLS_CERT, value: /etc/maas-api/tls/tls.crt}
            - {name: TLS_KEY, value: /etc/maas-api/tls/tls.key}
          resources:
            requests: {cpu: 50m, memory: 64Mi}
            limits: {cpu: 200m, memory: 128Mi}
          livenessProbe:
            httpGet: {path: /health, port: https, scheme: HTTPS}
          readinessProbe:
            httpGet: {path: /health, port: https, scheme: HTTPS}
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            runAsNonRoot: true
            capabilities: {drop: [ALL]}
          volumeMounts:
            - {name: maas-api-tls, mountPath: /etc/maas-api/tls, readOnly: true}
      volumes:
        - name: maas-api-tls
          secret: {secretName: maas-api-serving-cert}
"""


def deployment(*patches: str) -> Object:
    """The Deployment after these strategic merge patches, applied one after another by ``kubectl patch``."""
    text = _GO
    for patch in patches:
        with tempfile.TemporaryDirectory() as folder:
            target, change = Path(folder, "deployment.yaml"), Path(folder, "patch.yaml")
            target.write_text(text)
            change.write_text(patch)
            text = kubectl("patch", "--local", "-f", str(target), "--patch-file", str(change), "-o", "yaml")
    found: Object = yaml.safe_load(text)
    return found
