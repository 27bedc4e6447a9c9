"""A catalog of a few entries, as the decision about calls asks for it."""

from __future__ import annotations

from typing import Any, NamedTuple

from maas_api.access.caller import Access
from maas_api.models.calls import Calls
from maas_api.models.model import EXTERNAL, REFERENCES, LocalModel, Mapped, ModelEntry
from maas_api.models.shelf import Place, Shelf
from maas_api.models.snapshot import Snapshot


class Held(NamedTuple):
    """A catalog that does not change."""

    snapshot: Snapshot
    complete: bool = True


def external(identifier: str, provider: str = "openai", **fields: Any) -> ModelEntry:
    """A registered model of an outside provider."""
    given = {"created": 1, "owned_by": provider, "ready": True, "source": EXTERNAL, "origin": "maas-api/registry"}
    return ModelEntry(id=identifier, provider=provider, **{**given, **fields})


def local(identifier: str, name: str, *, namespace: str = "llm", **fields: Any) -> ModelEntry:
    """A model in the cluster, at ``/<namespace>/<name>/``."""
    model = LocalModel(name, namespace, f"/{namespace}/{name}/", f"http://{name}.{namespace}:8000")
    origin = f"{namespace}/{name}"
    given = {"created": 1, "owned_by": namespace, "ready": True, "source": "llminferenceservices", "origin": origin}
    return ModelEntry(id=identifier, namespace=namespace, local=model, **{**given, **fields})


def reference(identifier: str, name: str, *, namespace: str = "llm", **fields: Any) -> ModelEntry:
    """A MaaSModelRef."""
    origin = f"{namespace}/{name}"
    given = {"created": 1, "owned_by": origin, "ready": True, "source": REFERENCES, "origin": origin}
    return ModelEntry(id=identifier, namespace=namespace, **{**given, **fields})


def snapshot(*entries: ModelEntry) -> Snapshot:
    """What a catalog of these entries publishes."""
    shelf = Shelf()
    for number, entry in enumerate(entries):
        shelf.put(Place(0, ("n", str(number))), Mapped((entry,)))
    return shelf.snapshot(1)


def calls(*entries: ModelEntry, access: Access | None = None) -> Calls:
    """Decides calls of these entries; nothing but the key narrows them unless ``access`` says so."""
    return Calls(Held(snapshot(*entries)), access or Access())
