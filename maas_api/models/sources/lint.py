"""Checks registry files as the service would read them, for people and for CI. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import yaml

from maas_api.kube.manifests import ManifestError, documents, error_line, error_text, parse
from maas_api.kube.objects import CONFIG_MAP
from maas_api.models.model import Mapped, Problem
from maas_api.models.sources import registry
from maas_api.models.sources.registry import RegistryError


class Report(NamedTuple):
    """What a file holds: the ids of its good entries, and what is wrong."""

    file: str
    ids: tuple[str, ...]
    problems: tuple[Problem, ...]
    without_registry: bool = False
    """Whether it is a file of something else."""


def check(text: str, file: str) -> Report:
    """Lint one file: a manifest with registry ConfigMaps in it, or a bare registry document."""
    try:
        first = next(documents(text), None)
    except yaml.YAMLError as fault:
        return _failed(file, Problem(f"{file}:{error_line(fault)}", "", "", f"is not YAML: {error_text(fault)}"))
    except (ValueError, RecursionError) as fault:
        return _failed(file, Problem(file, "", "", f"is not YAML this service can read: {fault}"))
    try:
        if first is not None and isinstance(first.value, list):
            found = [registry.parse(text, where=file, first_line=1, origin=file, default_created=0)]
        else:
            found = _manifests(text, file)
    except RegistryError as fault:
        return _failed(file, fault.problem)
    except ManifestError as fault:
        return _failed(file, Problem(f"{file}:{fault.line}", "", "", fault.rule))
    if not found:
        rule = f"holds neither a ConfigMap with the key {registry.KEY!r} nor a list of entries"
        return _failed(file, Problem(file, "", "", rule))._replace(without_registry=True)
    ids = [entry.id for mapped in found for entry in mapped.entries]
    return Report(file, tuple(ids), tuple(problem for mapped in found for problem in mapped.problems))


def _manifests(text: str, file: str) -> list[Mapped]:
    return [
        registry.to_entries(obj)
        for obj in parse(text, file)
        if CONFIG_MAP.matches(obj["apiVersion"], obj["kind"])
        and isinstance(obj.get("data"), Mapping)
        and registry.KEY in obj["data"]
    ]


def _failed(file: str, problem: Problem) -> Report:
    return Report(file, (), (problem,))


def as_json(reports: list[Report]) -> dict[str, Any]:
    """The reports for a machine; ``line`` is 0 where the file as a whole is meant."""
    return {
        "ok": not any(report.problems for report in reports),
        "files": [
            {
                "file": report.file,
                "models": list(report.ids),
                "problems": [
                    {"line": _line(problem)} | {name: getattr(problem, name) for name in _FIELDS}
                    for problem in report.problems
                ],
            }
            for report in reports
        ],
    }


_FIELDS = ("where", "entry", "field", "rule", "received")


def _line(problem: Problem) -> int:
    tail = problem.where.rpartition(":")[2]
    return int(tail) if tail.isascii() and tail.isdigit() else 0
