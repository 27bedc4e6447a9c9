"""The text of a directory as plain values, refused where it could be read in two ways. Pure.

Every worker reads the whole text after each change of it, beside the validations, and for that long an owner who was
just disabled is let in. So JSON and the YAML that people write are read in one pass; what is odd, in the thorough way.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from typing import Any, Final

import yaml

ENTRY: Final = "directory.yaml"

_Fastest: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # a thousand names in 10 ms, not in 200
_DEEPEST: Final = 8
_TEXT: Final = yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG


class DocumentError(ValueError):
    """A document that cannot be used. The message names the field and its rule."""


def read(text: str) -> Any:
    """What a text says. Raises DocumentError."""
    try:
        if text.lstrip().startswith("{"):
            return json.loads(text, object_pairs_hook=_once_in_json)
        return _Plain(text).document()
    except DocumentError:
        raise
    except (ValueError, RecursionError, yaml.YAMLError):
        return _thoroughly(text)


class _OddError(ValueError):
    """Something that the thorough way is for: to read it, or to say what is wrong with it."""


class _Plain:
    """YAML of mappings, lists and texts, read as its events come: no anchors, tags, numbers, or names that are there
    twice."""

    def __init__(self, text: str) -> None:
        self._events: Iterator[Any] = yaml.parse(text, _Fastest)
        self._resolve: Any = yaml.resolver.Resolver().resolve

    def document(self) -> Any:
        """The only document. Raises _OddError, yaml.YAMLError."""
        self._expect(yaml.StreamStartEvent)
        self._expect(yaml.DocumentStartEvent)
        found = self._value(next(self._events), 0)
        self._expect(yaml.DocumentEndEvent)
        self._expect(yaml.StreamEndEvent)
        return found

    def _expect(self, kind: type[yaml.Event]) -> None:
        if not isinstance(next(self._events, None), kind):
            raise _OddError

    def _value(self, event: Any, depth: int) -> Any:
        if isinstance(event, yaml.ScalarEvent):
            return self._text(event)
        if not isinstance(event, yaml.CollectionStartEvent):
            raise _OddError
        if depth > _DEEPEST or event.anchor is not None or event.tag is not None:
            raise _OddError
        if isinstance(event, yaml.SequenceStartEvent):
            return list(self._items(yaml.SequenceEndEvent, depth))
        names = iter(self._items(yaml.MappingEndEvent, depth))
        pairs = list(zip(names, names, strict=True))
        found = dict(pairs) if all(isinstance(name, str) for name, _ in pairs) else {}
        if len(found) != len(pairs):
            raise _OddError
        return found

    def _items(self, end: type[yaml.Event], depth: int) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield self._value(event, depth + 1)

    def _text(self, event: yaml.ScalarEvent) -> str:
        """As it is there, unless it would be read as something else, or is referred to."""
        plain, _ = event.implicit
        if event.anchor is not None or event.tag is not None:
            raise _OddError
        if plain and self._resolve(yaml.ScalarNode, event.value, (True, False)) != _TEXT:
            raise _OddError
        return str(event.value)


def _thoroughly(text: str) -> Any:
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
