"""The HTTPRoutes known now, indexed the two ways a service's membership asks for them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from maas_api.models.sources.fields import at, text
from maas_api.models.sources.kserve import RouteNeed, managed_labels

Object = Mapping[str, Any]


class RouteKey(NamedTuple):
    """A route of one feed."""

    feed: int
    namespace: str
    name: str


class RouteIndex:
    """Implements :class:`maas_api.models.sources.kserve.Routes`; both questions cost one look-up. Not thread-safe."""

    def __init__(self) -> None:
        self._routes: dict[RouteKey, Object] = {}
        self._by_need: dict[RouteNeed, dict[RouteKey, Object]] = {}

    def named(self, namespace: str, name: str) -> Iterable[Object]:
        """The route of that name, from every feed that has it."""
        return self._by_need.get(RouteNeed(False, namespace, name), {}).values()

    def managed(self, namespace: str, service: str) -> Iterable[Object]:
        """The routes KServe's controller made for the service."""
        return self._by_need.get(RouteNeed(True, namespace, service), {}).values()

    def put(self, key: RouteKey, route: Object | None) -> set[RouteNeed]:
        """Replace one route (None: it is gone). Returns the needs whose answer may have changed."""
        touched: set[RouteNeed] = set()
        old = self._routes.pop(key, None)
        if old is not None:
            for need in _answers(key, old):
                self._by_need[need].pop(key, None)
                if not self._by_need[need]:
                    del self._by_need[need]
                touched.add(need)
        if route is not None:
            self._routes[key] = route
            for need in _answers(key, route):
                self._by_need.setdefault(need, {})[key] = route
                touched.add(need)
        return touched


def _answers(key: RouteKey, route: Object) -> list[RouteNeed]:
    needs = [RouteNeed(False, key.namespace, key.name)]
    service = text(route, "metadata", "labels", "app.kubernetes.io/name")
    wanted = managed_labels(service)
    if service and all(at(route, "metadata", "labels", label) == value for label, value in wanted.items()):
        needs.append(RouteNeed(True, key.namespace, service))
    return needs
