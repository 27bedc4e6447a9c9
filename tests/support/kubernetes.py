"""Manifests judged as an API server judges them, and kustomize as kubectl runs it."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from tests.support import crds

ROOT = Path(__file__).parents[2]
PATCHES = ROOT / "patches"
KUBECTL = Path(sys.executable).parent / "kubectl"

VERSIONS = ("1.30", "1.37")
"""Kubernetes releases whose schemas a manifest must satisfy: the oldest one supported and the newest one known."""

Object = dict[str, Any]

# The package reads a megabyte of definitions anew for every object; nobody changes what it has read.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)


def kubectl(*arguments: str, stdin: str = "") -> str:
    """What kubectl prints. Never talks to a cluster. Fails the test with its complaint when it exits with one."""
    done = subprocess.run(
        [str(KUBECTL), "--kubeconfig=/dev/null", *arguments], input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


@functools.cache
def built(folder: str) -> str:
    """What ``kubectl kustomize`` makes of a folder under ``patches/``."""
    return kubectl("kustomize", str(PATCHES / folder))


def objects(folder: str) -> list[Object]:
    """The objects of a kustomization, each test's own to change."""
    return list(yaml.safe_load_all(built(folder)))


def find(items: list[Object], kind: str, name: str) -> Object:
    """The one object of this kind and name."""
    (found,) = (item for item in items if item["kind"] == kind and item["metadata"]["name"] == name)
    return found


def environment(deployment: Object, folder: Path) -> dict[str, str]:
    """A container's variables as its process would see them; mounted files appear under ``folder``."""
    spec = deployment["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    mounts = [mount["mountPath"] for mount in container.get("volumeMounts", ())]
    found = {}
    for item in container["env"]:
        value = item.get("value")
        if value is None:
            assert item["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.namespace"}}
            value = deployment["metadata"]["namespace"]
        if any(value.startswith(mount + "/") for mount in mounts):
            file = folder / value.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("postgresql://maas@database/maas")
            value = str(file)
        found[item["name"]] = value
    return found


def complaints(manifest: Mapping[str, Any]) -> list[str]:
    """Why an API server would refuse (or silently cut) this manifest, empty when it would take it as it is.

    Built-in kinds: Kubernetes' own schemas of each release in VERSIONS, unknown fields refused, from the package
    kubernetes-validate, and the rule of their names, which is in no schema. Custom kinds: the definitions in the folder
    that ``MAAS_CRDS`` names (skips without it).
    """
    where = f"{manifest['kind']} {manifest['metadata'].get('name')}"
    found = []
    if not _name_rule(manifest["kind"]).fullmatch(manifest["metadata"]["name"]):
        found.append(f"{where}: metadata.name: not a name for this kind")
    for version in VERSIONS:
        try:
            kubernetes_validate.validate(dict(manifest), version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            return found + [f"{where}: {complaint}" for complaint in crds.errors(manifest)]
        except kubernetes_validate.ValidationError as fault:
            path = ".".join(str(step) for step in fault.path)
            found.append(f"{where}: {version}: {path}: {fault.message}")
    return found


_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SERVICE = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1035: a letter first
_SUBDOMAIN = re.compile(r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_PATH_SEGMENT = re.compile(r"(?!\.{1,2}$)[^/%]+")


def _name_rule(kind: str) -> re.Pattern[str]:
    """What the API server lets objects of a kind be called."""
    if kind.endswith(("Role", "RoleBinding")):
        return _PATH_SEGMENT
    return {"Service": _SERVICE, "Namespace": _LABEL}.get(kind, _SUBDOMAIN)
