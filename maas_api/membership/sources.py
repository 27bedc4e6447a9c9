"""What the two sources say: an OpenShift Group object, and a directory's document. Pure.

The document is the entry ``directory.yaml`` of a ConfigMap::

    groups:
      team-a: [alice, bob]
      team-b: []
    disabled: [carol]
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from maas_api.kube.objects import Object
from maas_api.membership.reading import ENTRY, DocumentError, read

_MAX_BYTES: Final = 1_048_576
"""What a ConfigMap can hold."""


class People(NamedTuple):
    """Members of each group, and who is disabled."""

    groups: dict[str, frozenset[str]]
    disabled: frozenset[str]


def members(group: Object) -> frozenset[str]:
    """The users of a Group. What is no name is left out: nobody has it."""
    users = group.get("users")
    return (
        frozenset(name for name in users if isinstance(name, str) and name) if isinstance(users, list) else frozenset()
    )


def people(config_map: Object) -> People:
    """Raises DocumentError."""
    data = config_map.get("data")
    text = data.get(ENTRY) if isinstance(data, dict) else None
    if not isinstance(text, str):
        raise DocumentError(f"{ENTRY}: is missing")
    if len(text) > _MAX_BYTES:
        raise DocumentError(f"{ENTRY}: must be of at most {_MAX_BYTES} characters")
    document = read(text)
    if not isinstance(document, dict):
        raise DocumentError(f"{ENTRY}: must have groups, and may have disabled")
    unknown = sorted(str(name) for name in document if name not in ("groups", "disabled"))
    if unknown:
        raise DocumentError(f"{ENTRY}: unknown field {unknown[0]!r}; known are groups and disabled")
    groups = document.get("groups")
    if not isinstance(groups, dict):
        raise DocumentError("groups: must be an object of groups, each with a list of its members")
    found = {_name("groups", group): _names(f"groups.{group}", listed) for group, listed in groups.items()}
    return People(found, _names("disabled", document.get("disabled", [])))


def _names(field: str, value: Any) -> frozenset[str]:
    if not isinstance(value, list):
        raise DocumentError(f"{field}: must be a list of user names, [] for none")
    if set(map(type, value)) == {str} and "" not in value and list(map(str.strip, value)) == value:
        return frozenset(value)  # as most lists are: a tenth of the time of asking of each
    return frozenset(_name(field, item) for item in value)


def _name(field: str, value: Any) -> str:
    """A name as it is: ``yes`` and ``007`` are no names unless quoted, and must not become somebody else's."""
    if not isinstance(value, str) or not value or value != value.strip():
        raise DocumentError(f"{field}: {str(value)[:100]!r} must be a name, as text; quote it")
    return value
