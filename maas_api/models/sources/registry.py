"""The registry ConfigMap: outside providers' models as a YAML list under the key ``models``. Pure.

An entry has ``id`` and ``provider``; the other fields may be left out. One bad entry is reported and skipped, the
rest stays. A document that does not parse raises RegistryError, so that the holder can keep the last good one.
Unknown fields are refused: a mistyped ``groups`` must not show a model to everyone.
"""

from __future__ import annotations

import dataclasses
import re
import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

import yaml
from marshmallow import ValidationError

from maas_api.kube.manifests import documents, error_line, error_text
from maas_api.kube.objects import origin_of
from maas_api.models.model import EXTERNAL, Details, Mapped, ModelEntry, Problem
from maas_api.models.sources.entry_schema import UNKNOWN, EntrySchema
from maas_api.models.sources.fields import created, origin
from maas_api.models.sources.price_schema import price

KEY = "models"
"""The ConfigMap key that holds the list."""
MAX_FIELDS = 100
"""Of one entry; there are some fifteen to know. Each wrong one is reported, and looked for, on its own."""


class RegistryError(Exception):
    """The document as a whole cannot be used."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


_SCHEMA = EntrySchema()
_BRIEF = reprlib.Repr()  # of a nest of aliases only the beginning is walked
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = 4096  # shorter ones are not cut in their middle
_COMMON = {"Missing data for required field.": "must be given", "Field may not be null.": "must not be null"}


def to_entries(config_map: Mapping[str, Any], routed: frozenset[str] = frozenset()) -> Mapped:
    """The entries of a registry ConfigMap. Without the key ``models``, or with a blank one, there are none. Those of a
    provider that is not ``routed`` (empty: every one is) are not ready.

    Raises RegistryError when the document is not a YAML list.
    """
    data = config_map.get("data")
    document = data.get(KEY) if isinstance(data, Mapping) else None
    came = origin_of(config_map)
    label = f"ConfigMap {origin(config_map)}"
    first_line = 0
    if came is not None:
        first_line = came.text_lines.get(KEY, 0)
        label = came.file if first_line else f"{came.file}:{came.line}: {label}"
    if document is None:
        return Mapped()
    if not isinstance(document, str):
        raise RegistryError(Problem(label, "", KEY, "must be text that holds a YAML list", shown(document)))
    mapped = parse(
        document, where=label, first_line=first_line, origin=origin(config_map), default_created=created(config_map)
    )
    return mapped._replace(entries=tuple(_routed(entry, routed) for entry in mapped.entries)) if routed else mapped


def _routed(entry: ModelEntry, routed: frozenset[str]) -> ModelEntry:
    if entry.provider in routed or not entry.ready:
        return entry
    return dataclasses.replace(entry, ready=False, unready=f"the gateway has no route to the provider {entry.provider}")


def parse(text: str, *, where: str, first_line: int, origin: str, default_created: int) -> Mapped:
    """The entries in a registry document.

    ``where`` names the document in reports; ``first_line`` is the line of the file its first line stands on, or 0
    where lines count within the document. Raises RegistryError when the document is not a YAML list.
    """

    def place(line: int) -> str:
        return f"{where}:{first_line + line}" if first_line else f"{where}: {KEY} line {line + 1}"

    try:
        found = list(documents(text))
    except yaml.YAMLError as fault:
        line = place(error_line(fault) - 1)
        raise RegistryError(Problem(line, "", KEY, f"is not YAML: {error_text(fault)}")) from None
    except (ValueError, RecursionError) as fault:
        raise RegistryError(Problem(where, "", KEY, f"is not YAML this service can read: {fault}")) from None
    if not found or (len(found) == 1 and found[0].value is None):
        return Mapped()
    node, value = found[0]
    if len(found) > 1:
        line = place(found[1].node.start_mark.line)
        raise RegistryError(Problem(line, "", KEY, "must be one YAML document, got a second one"))
    if not isinstance(value, list) or not isinstance(node, yaml.SequenceNode):
        line = place(node.start_mark.line)
        raise RegistryError(Problem(line, "", KEY, "must be a YAML list of entries", shown(value)))
    entries: list[ModelEntry] = []
    problems: list[Problem] = []
    lines: dict[str, str] = {}
    for number, (item, item_node) in enumerate(zip(value, node.value, strict=True), start=1):
        line = place(item_node.start_mark.line)
        entry, faults = _entry(item, item_node, number, origin, default_created)
        if entry is None:
            problems.extend(Problem(place(at), label, *rest) for at, label, *rest in faults)
        elif entry.id in lines:
            rule = f"is already listed at {lines[entry.id]}"
            problems.append(Problem(line, _label(number, item), "id", rule, shown(entry.id)))
        else:
            lines[entry.id] = line
            entries.append(entry)
    return Mapped(tuple(entries), tuple(problems))


Fault = tuple[int, str, str, str, str]
"""Line in the document (from 0), entry, field, rule, received."""


def _entry(
    item: Any, node: yaml.Node, number: int, origin: str, default_created: int
) -> tuple[ModelEntry | None, list[Fault]]:
    label = _label(number, item)
    if isinstance(node, yaml.MappingNode) and len(node.value) > MAX_FIELDS:
        return None, [(node.start_mark.line, label, "", f"must have at most {MAX_FIELDS} fields", "")]
    faults: list[Fault] = [(_line(node, name), label, name, "must not be given twice", "") for name in _repeated(node)]
    loaded: dict[str, Any] = {}
    try:
        loaded = _SCHEMA.load(item)
    except ValidationError as fault:
        faults.extend(_faults(fault.messages, item, node, label))
    if faults:
        return None, faults
    details = Details(
        loaded.get("genai_use_case", ""),
        loaded.get("description", ""),
        loaded.get("display_name", ""),
        loaded.get("context_window", ""),
        tuple(loaded.get("capabilities", ())),
        loaded.get("max_input_tokens", ""),
        loaded.get("max_output_tokens", ""),
    )
    entry = ModelEntry(
        id=loaded["id"],
        created=loaded.get("created", default_created),
        owned_by=loaded["provider"],
        ready=loaded.get("ready", True),
        unready="" if loaded.get("ready", True) else "the registry says ready: false",
        source=EXTERNAL,
        origin=origin,
        url=loaded.get("url", ""),
        details=details,
        aliases=tuple(alias for alias in dict.fromkeys(loaded.get("aliases", ())) if alias != loaded["id"]),
        groups=frozenset(loaded.get("groups", ())),
        provider=loaded["provider"],
        prices=tuple(price(item) for item in loaded.get("prices", ())),
        target="" if loaded.get("target_model") == loaded["id"] else loaded.get("target_model", ""),
    )
    return entry, []


def _faults(messages: Any, item: Any, node: yaml.Node, label: str) -> Iterator[Fault]:
    for name, texts in messages.items():
        value = item.get(name) if isinstance(item, Mapping) else item
        for path, rule in _rules(texts):
            got = value
            for step in path:
                got = got[step] if isinstance(got, list) and isinstance(step, int) else None
            field = "" if name == "_schema" else str(name) + "".join(f"[{step}]" for step in path)
            # A field nobody asked for may hold anything, a credential too: its value is not repeated.
            silent = rule == UNKNOWN or (isinstance(item, Mapping) and name not in item)
            yield _line(node, str(name)), label, field, _COMMON.get(rule, rule), "" if silent else shown(got)


def _rules(texts: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    if isinstance(texts, Mapping):
        for step, inner in texts.items():
            yield from _rules(inner, (*path, step))
    elif isinstance(texts, list):
        for rule in texts:
            yield path, str(rule)


def _repeated(node: yaml.Node) -> list[str]:
    if not isinstance(node, yaml.MappingNode):
        return []
    names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
    return sorted(name for name, count in names.items() if count > 1)


def _line(node: yaml.Node, name: str) -> int:
    """The line a field of an entry stands on; the entry's first line for one that is not there."""
    if isinstance(node, yaml.MappingNode):
        for key, _ in reversed(node.value):
            if isinstance(key, yaml.ScalarNode) and key.value == name:
                return int(key.start_mark.line)
    return int(node.start_mark.line)


def _label(number: int, item: Any) -> str:
    identifier = item.get("id") if isinstance(item, Mapping) else None
    return f"entry {number}" + (f" ({identifier})" if isinstance(identifier, str) and identifier else "")


def shown(value: Any) -> str:
    """A value as a report shows it: its type in YAML's terms, cut at 60 characters."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (date, datetime)):
        return f"the date {value.isoformat()}"
    text = repr(value) if isinstance(value, str | int | float) else _BRIEF.repr(value)
    text = re.sub(r"//[^/@\s]*@", "//***@", text)  # a URL's password stays out of logs
    cut = text if len(text) <= 60 else text[:57] + "..."
    kinds = {str: "", int: "the number ", float: "the number ", list: "the list ", dict: "the mapping "}
    return kinds.get(type(value), f"{type(value).__name__} ") + cut
