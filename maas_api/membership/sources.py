"""What the two sources say: an OpenShift Group object, and a directory's document. Pure.

The document is the entry ``directory.yaml`` of a ConfigMap::

    groups:
      team-a: [alice, bob]
      team-b: []
    disabled: [carol]
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from typing import Any, Final, NamedTuple

import yaml

from maas_api.kube.objects import Object

ENTRY: Final = "directory.yaml"
_Fastest: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a thousand names in 10 ms, not in 200
_DEEPEST: Final = 8
_MAX_BYTES: Final = 1_048_576
"""What a ConfigMap can hold."""


class DocumentError(ValueError):
    """A document that cannot be used. The message names the field and its rule."""


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
    document = _read(text)
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


def _read(text: str) -> Any:
    """YAML; what is JSON is read as such, twenty times as fast."""
    try:
        return json.loads(text, object_pairs_hook=_once_in_json) if text.lstrip().startswith("{") else _yaml(text)
    except (ValueError, RecursionError) as fault:
        if isinstance(fault, DocumentError):
            raise
        return _yaml(text)


def _yaml(text: str) -> Any:
    try:
        _shallow(text)
        return yaml.load(text, _Strict)  # noqa: S506 -- a SafeLoader
    except DocumentError:
        raise
    except (yaml.YAMLError, RecursionError, ValueError) as fault:
        mark = getattr(fault, "problem_mark", None)
        where = "" if mark is None else f", line {mark.line + 1}"
        said = getattr(fault, "problem", "") or "cannot be read as YAML"
        raise DocumentError(f"{ENTRY}{where}: {said}") from None


def _shallow(text: str) -> None:
    """The C parser builds nodes by recursion without end, so a document of brackets would end the process."""
    depth = 0
    for event in yaml.parse(text, _Fastest):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise DocumentError(f"{ENTRY}: is nested deeper than groups are")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _once_in_json(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise DocumentError(f"{ENTRY}: {twice[:100]!r} is there twice")
    return found


def _names(field: str, value: Any) -> frozenset[str]:
    if not isinstance(value, list):
        raise DocumentError(f"{field}: must be a list of user names, [] for none")
    return frozenset(_name(field, item) for item in value)


def _name(field: str, value: Any) -> str:
    """A name as it is: ``yes`` and ``007`` are no names unless quoted, and must not become somebody else's."""
    if not isinstance(value, str) or not value or value != value.strip():
        raise DocumentError(f"{field}: {str(value)[:100]!r} must be a name, as text; quote it")
    return value


class _Strict(_Fastest):  # type: ignore[misc]  # which of the two is known at run time alone
    """Refuses a key that is there twice: the last would count, and the group's other members would have left."""


def _once(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    found = yaml.SafeLoader.construct_mapping(loader, node, deep=True)
    if len(found) != len(node.value):
        names = [str(key.value) for key, _ in node.value]
        later = ((name, key.start_mark) for name, (key, _) in _later(names, node.value))
        twice, mark = next(later, ("a name, written in two ways,", node.start_mark))
        raise yaml.constructor.ConstructorError(None, None, f"{twice[:100]!r} is there twice", mark)
    return found


def _later(names: list[str], pairs: list[Any]) -> Iterator[tuple[str, Any]]:
    """The keys that were there before."""
    seen: set[str] = set()
    for name, pair in zip(names, pairs, strict=True):
        if name in seen:
            yield name, pair
        seen.add(name)


_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _once)
