"""From the catalog to the gateway: which local models get a route, and what is known of them by path."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from maas_api.gateway.envoy.plan import RESERVED, LocalRoute, PlanError, Upstream
from maas_api.models.model import Problem
from maas_api.models.snapshot import Snapshot


class LocalRoutes(NamedTuple):
    """Routes to the catalog's local models, and those that cannot have one."""

    routes: tuple[LocalRoute, ...]
    problems: tuple[Problem, ...]


def local_routes(snapshot: Snapshot, *, ca_file: Path | None = None) -> LocalRoutes:
    """A route for every local model with an address. ``ca_file`` (PEM) verifies those behind https.

    A model whose address or name no gateway can use is reported and left out; the others keep their routes.
    """
    routes: dict[str, LocalRoute] = {}
    problems: list[Problem] = []
    for model in snapshot.local_models:
        if not model.address:
            continue
        origin = f"{model.namespace}/{model.name}"
        if model.path_prefix.startswith(RESERVED):
            problems.append(Problem(origin, "", "namespace", "its path belongs to the gateway", model.path_prefix))
            continue
        try:
            upstream = Upstream.from_url(model.address, ca_file=ca_file)
        except PlanError as fault:
            problems.append(Problem(origin, "", "status.addresses", str(fault)))
            continue
        several = len(snapshot.by_prefix.get(model.path_prefix, ())) > 1
        route = LocalRoute(path_prefix=model.path_prefix, upstream=upstream, several_names=several)
        routes.setdefault(model.path_prefix, route)
    return LocalRoutes(tuple(routes.values()), tuple(problems))
