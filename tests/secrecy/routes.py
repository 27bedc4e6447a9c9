"""Every route of a gateway: to models, to providers, to the service itself, and to nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import yaml

from tests.matrix.rows import NOT_OPEN, OPT, PLACE, TEXT, rows
from tests.secrecy.places import Draft
from tests.support.kubernetes import ROOT

_SAMPLES = {"{id}": "01234567-89ab-4def-8123-456789abcdef", "{tenant}": "default"}


class Route(NamedTuple):
    """One request, without a credential. ``shut``: open to nobody."""

    draft: Draft
    shut: bool

    def __str__(self) -> str:
        return f"{self.draft.method} {self.draft.target}"


def routes(gateway: str) -> Iterator[Route]:
    """Each once."""
    seen = set()
    for row in rows():
        place = (row.method, row.path)
        if row.at(gateway) is not None and place not in seen:
            seen.add(place)
            yield Route(Draft(*place, row.body), shut=row.expected == NOT_OPEN)
    if gateway == "native":
        for place in _own():
            if place not in seen:
                yield Route(Draft(*place, None if place[0] == "GET" else {}), shut=True)
    else:  # a model in the cluster, by a route and under a policy that are not rendered here
        chat = {"model": OPT, "messages": TEXT, "max_tokens": 5}
        yield Route(Draft("POST", f"{PLACE}/v1/chat/completions", chat), shut=False)
        yield Route(Draft("GET", f"{PLACE}/v1/models"), shut=False)


def _own() -> Iterator[tuple[str, str]]:
    """What the service's own contract has, as far as a gateway leads there or refuses to: to no model."""
    paths = yaml.safe_load((ROOT / "openapi.yaml").read_text())["paths"]
    for path, operations in paths.items():
        for name, sample in _SAMPLES.items():
            path = path.replace(name, sample)
        for method in operations:
            if method in ("get", "post", "put", "patch", "delete"):
                yield method.upper(), path
