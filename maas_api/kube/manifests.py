"""Kubernetes manifests read from text: YAML or JSON, several documents, ``List`` objects. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from maas_api.kube.objects import Manifest, Origin

# The C parser is about ten times faster; both give the same marks.
_Fastest: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Fastest):  # type: ignore[misc]  # which of the two is known at run time alone
    """Safe loading in which a merge (``<<``) leaves one node for each field, so that a field that stands twice in the
    tree was written twice. PyYAML itself keeps what a mapping's own fields, or a nearer merge, override."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Put the merged mappings' fields before the mapping's own, leaving out those that are overridden."""
        own = [pair for pair in node.value if pair[0].tag != "tag:yaml.org,2002:merge"]
        merging = len(own) < len(node.value)
        super().flatten_mapping(node)
        if not merging:
            return
        taken = {_identity(key) for key, _ in own}
        inherited: list[tuple[yaml.Node, yaml.Node]] = []
        for key, value in reversed(node.value[: len(node.value) - len(own)]):  # the last one counts
            if _identity(key) not in taken:
                taken.add(_identity(key))
                inherited.append((key, value))
        node.value = inherited[::-1] + own


def _identity(key: yaml.Node) -> tuple[str, str | int]:
    return (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else ("", id(key))


class ManifestError(Exception):
    """Text that is not a manifest. ``line`` counts from 1; ``rule`` says what is wrong in the parser's words."""

    def __init__(self, file: str, line: int, rule: str) -> None:
        super().__init__(f"{file}:{line}: {rule}")
        self.file = file
        self.line = line
        self.rule = rule


class Parsed(NamedTuple):
    """A node tree and the value it stands for."""

    node: yaml.Node
    value: Any


MAX_DEPTH = 100
"""Deepest nesting taken. libyaml's composer recurses on the C stack: unchecked, a text of 100,000 brackets ends the
process. Its event parser does not recurse, so depth is counted on events first."""


class TooDeepError(yaml.YAMLError):
    """Nesting beyond :data:`MAX_DEPTH`."""


def _check_depth(text: str) -> bool:
    """Whether there are aliases in the text. Raises TooDeepError."""
    depth, aliased = 0, False
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                fault = TooDeepError(f"nested deeper than {MAX_DEPTH} levels")
                fault.problem_mark = event.start_mark  # type: ignore[attr-defined]  # as MarkedYAMLError has it
                raise fault
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliased = True
    return aliased


MAX_EXPANDED = 250_000
"""Most nodes a document may stand for once its aliases are written out. Few bytes can stand for more than any memory
holds ("billion laughs"), and whoever walks, compares or prints the values would do so for all of them."""


class TooLargeError(yaml.YAMLError):
    """More nodes than :data:`MAX_EXPANDED`."""


def _check_expanded(node: yaml.Node, sizes: dict[int, int]) -> int:
    """The nodes that ``node`` stands for, aliases written out. ``sizes`` remembers nodes by their identity."""
    known = sizes.get(id(node))
    if known is not None:
        return known
    sizes[id(node)] = size = 1  # one that contains itself would have no end; its parser refuses or keeps the loop
    if isinstance(node, yaml.CollectionNode):
        for item in node.value:
            for part in item if isinstance(node, yaml.MappingNode) else (item,):
                size += _check_expanded(part, sizes)
        if size > MAX_EXPANDED:
            fault = TooLargeError(f"stands for more than {MAX_EXPANDED} values once its aliases are written out")
            fault.problem_mark = node.start_mark  # type: ignore[attr-defined]  # as MarkedYAMLError has it
            raise fault
        sizes[id(node)] = size
    return size


def documents(text: str) -> Iterator[Parsed]:
    """Every YAML document in ``text`` with its node tree, whose marks say where things stand. Raises yaml.YAMLError."""
    aliased = _check_depth(text)
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            if aliased:
                _check_expanded(node, {})
            yield Parsed(node, loader.construct_document(node))
    finally:
        loader.dispose()


def parse(text: str, file: str) -> list[Manifest]:
    """The objects in a manifest file, ``List`` items included, in order.

    Raises ManifestError with the line and the rule for text that does not parse, a document that is not an object,
    or an object without apiVersion, kind and a name.
    """
    found: list[Manifest] = []
    for line, node, value in _values(text, file):
        if value is None:
            continue
        found.extend(_objects(value, node, file, line))
    return found


def _values(text: str, file: str) -> Iterator[tuple[int, yaml.Node | None, Any]]:
    if file.endswith(".json"):
        try:
            yield 1, None, json.loads(text)
        except json.JSONDecodeError as fault:
            raise ManifestError(file, fault.lineno, f"is not JSON: {fault.msg}") from None
        except RecursionError:
            raise ManifestError(file, 1, "is nested too deep") from None
        return
    try:
        for node, value in documents(text):
            yield node.start_mark.line + 1, node, value
    except yaml.YAMLError as fault:
        raise ManifestError(file, error_line(fault), f"is not YAML: {error_text(fault)}") from None
    except (ValueError, RecursionError) as fault:  # a constructor's refusal, such as the date 2025-13-01
        raise ManifestError(file, 1, f"is not YAML this service can read: {fault}") from None


def error_line(fault: yaml.YAMLError) -> int:
    """The line a parser error points at, from 1."""
    mark = getattr(fault, "problem_mark", None) or getattr(fault, "context_mark", None)
    return mark.line + 1 if mark is not None else 1


def error_text(fault: yaml.YAMLError) -> str:
    """The parser's complaint in one line, without the quoted source (which may hold a secret)."""
    parts = [getattr(fault, "context", None), getattr(fault, "problem", None)]
    return ", ".join(part for part in parts if part) or str(fault).splitlines()[0]


def _objects(value: Any, node: yaml.Node | None, file: str, line: int) -> Iterator[Manifest]:
    if not isinstance(value, dict):
        raise ManifestError(file, line, f"must be a Kubernetes object (a mapping), got {_type(value)}")
    kind, api_version = value.get("kind"), value.get("apiVersion")
    if not isinstance(kind, str) or not isinstance(api_version, str) or not kind or not api_version:
        raise ManifestError(file, line, "must have apiVersion and kind, both text")
    if kind.endswith("List") and isinstance(value.get("items"), list):
        nodes = child(node, "items")
        for index, item in enumerate(value["items"]):
            item_node = nodes.value[index] if isinstance(nodes, yaml.SequenceNode) else None
            yield from _objects(item, item_node, file, line if item_node is None else item_node.start_mark.line + 1)
        return
    metadata = value.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        raise ManifestError(file, line, f"{kind} must have metadata.name, text")
    if not isinstance(metadata.get("namespace", ""), str):
        raise ManifestError(file, line, f"{kind} {metadata['name']}: metadata.namespace must be text")
    yield Manifest(value, Origin(file, line, _text_lines(child(node, "data"))))


def _text_lines(data: yaml.Node | None) -> dict[str, int]:
    """For each literal block in a ConfigMap's data, the file line of its first content line."""
    if not isinstance(data, yaml.MappingNode):
        return {}
    return {
        key.value: value.start_mark.line + 2  # the block starts on the line after its "|" indicator
        for key, value in data.value
        if isinstance(value, yaml.ScalarNode) and value.style == "|"
    }


def child(node: yaml.Node | None, name: str) -> yaml.Node | None:
    """The value node of a key in a mapping node, or None."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value == name:
                found: yaml.Node = value
                return found
    return None


def _type(value: Any) -> str:
    return {list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}.get(
        type(value), type(value).__name__
    )
