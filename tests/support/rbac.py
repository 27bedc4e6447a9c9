"""Role-based access control as Kubernetes applies it: what roles grant, and whether a request is among it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from tests.support.kubernetes import Object, find

Right = tuple[str, str, str, str | None, str | None]
"""API group, resource, verb, namespace (None: everywhere), object name (None: any)."""


def granted(items: list[Object], account: tuple[str, str] | None = None) -> set[Right]:
    """What the bindings among these objects grant to a service account (namespace, name); without one, to anybody.

    Fails for a binding whose role is not there.
    """
    found: set[Right] = set()
    for binding in items:
        if binding["kind"] not in ("RoleBinding", "ClusterRoleBinding"):
            continue
        if account is not None and account not in {(who["namespace"], who["name"]) for who in binding["subjects"]}:
            continue
        where = binding["metadata"].get("namespace") if binding["kind"] == "RoleBinding" else None
        reference = binding["roleRef"]
        place = where if reference["kind"] == "Role" else None
        role = find(
            [item for item in items if item["metadata"].get("namespace") == place], reference["kind"], reference["name"]
        )
        for rule in role["rules"]:
            found |= {
                (group, resource, verb, where, name)
                for group in rule["apiGroups"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
                for name in rule.get("resourceNames", [None])
            }
    return found


def asked(method: str, path: str, query: Mapping[str, str]) -> Right | None:
    """What a request asks for, None for discovery (which every authenticated client may do).

    As the API server reads it (RequestInfo): the name of a list or watch is that of a selector on metadata.name.
    """
    parts = [unquote(part) for part in path.strip("/").split("/")]
    if parts[0] == "api":
        group, rest = "", parts[2:]
    else:
        group, rest = parts[1], parts[3:]
    if not rest:
        return None
    namespace = None
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    resource, name = rest[0], rest[1] if len(rest) > 1 else None
    if method != "GET":
        return (
            group,
            resource,
            {"POST": "create", "PUT": "update", "PATCH": "patch"}.get(method, "delete"),
            namespace,
            name,
        )
    if name is not None:
        return group, resource, "get", namespace, name
    selector = query.get("fieldSelector", "")
    name = selector.removeprefix("metadata.name=") if selector.startswith("metadata.name=") else None
    return group, resource, "watch" if query.get("watch") else "list", namespace, name


class Cluster:
    """What has been applied, as an API server keeps it: one object for each kind, namespace and name."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str, str], Object] = {}

    def apply(self, items: list[Object]) -> None:
        """As ``kubectl apply`` does: what is there already is replaced."""
        self._objects |= {_identity(item): item for item in items}

    def delete(self, items: list[Object]) -> None:
        """As ``kubectl delete`` does: by kind, namespace and name, whoever applied it. A Namespace takes all in it."""
        for item in items:
            self._objects.pop(_identity(item), None)
            if item["kind"] == "Namespace":
                gone = [key for key in self._objects if key[1] == item["metadata"]["name"]]
                for key in gone:
                    del self._objects[key]

    @property
    def objects(self) -> list[Object]:
        """Everything there is."""
        return list(self._objects.values())


def _identity(item: Object) -> tuple[str, str, str]:
    return item["kind"], item["metadata"].get("namespace") or "", item["metadata"]["name"]


class Authorizer:
    """Decides requests by a set of rights, and remembers which rights were needed and what was refused."""

    def __init__(self, rights: Iterable[Right]) -> None:
        self.rights = set(rights)
        self.used: set[Right] = set()
        self.refused: list[Right] = []

    def __call__(self, method: str, path: str, query: Mapping[str, str]) -> bool:
        """Whether some right covers the request."""
        wanted = asked(method, path, query)
        if wanted is None:
            return True
        group, resource, verb, namespace, name = wanted
        for right in self.rights:
            if right[:3] == (group, resource, verb) and right[3] in (None, namespace) and right[4] in (None, name):
                self.used.add(right)
                return True
        self.refused.append(wanted)
        return False
