"""Where prices come from: the registry's entries, and a file that an operator keeps. The file's word counts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import yaml
from marshmallow import ValidationError

from maas_api.config import ConfigError
from maas_api.models.model import ModelEntry
from maas_api.models.price import Price
from maas_api.models.sources.price_schema import PriceSchema, price
from maas_api.usage.prices import PriceBook

_log = logging.getLogger(__name__)
_SCHEMA: Final = PriceSchema()
_FILE_BYTES_MAX: Final = 4 * 1024 * 1024

Listed = dict[str, tuple[Price, ...]]


class Shelf(Protocol):
    """Models with their prices."""

    @property
    def entries(self) -> Iterable[ModelEntry]: ...


class _Empty(NamedTuple):
    entries: tuple[ModelEntry, ...] = ()


_EMPTY: Final = _Empty()


def no_models() -> Shelf:
    """A shelf with nothing on it, where no catalog is at hand."""
    return _EMPTY


class PriceListError(ValueError):
    """A file of prices that cannot be used. The message names the place and the rule."""


class Prices:
    """The prices now. Looks at its sources when it is asked, and reads what changed."""

    def __init__(self, shelf: Callable[[], Shelf], file: Path | None) -> None:
        """``shelf`` gives the same object until models change. Raises ConfigError for a file that cannot be used."""
        self._shelf = shelf
        self._file = file
        self._lock = threading.Lock()
        self._seen: tuple[object, object] = (None, None)
        self._listed: Listed = {}
        self._book = PriceBook({})
        if file is not None:
            try:
                self._listed = read(file)
            except (OSError, PriceListError) as fault:
                raise ConfigError(f"--prices-file (PRICES_FILE): {fault}") from None

    def __call__(self) -> PriceBook:
        """The book of all prices."""
        shelf, stamp = self._shelf(), self._stamp()
        with self._lock:
            if shelf is self._seen[0] and stamp == self._seen[1]:
                return self._book
            if self._file is not None and stamp != self._seen[1]:
                try:
                    self._listed = read(self._file)
                except (OSError, PriceListError) as fault:
                    _log.warning("the file of prices cannot be used, the last good one is", extra={"fault": str(fault)})
            self._book = PriceBook({**of_entries(shelf.entries), **self._listed})
            self._seen = (shelf, stamp)
            return self._book

    def _stamp(self) -> object:
        try:
            found = None if self._file is None else self._file.stat()
        except OSError:
            return None
        return None if found is None else (found.st_mtime_ns, found.st_ino, found.st_size)


def of_entries(entries: Iterable[ModelEntry]) -> Listed:
    """Prices by every name a model goes by; of two models with one name the first."""
    found: Listed = {}
    for entry in entries:
        if entry.prices:
            for name in (entry.id, *entry.aliases, entry.target):
                if name:
                    found.setdefault(name, entry.prices)
    return found


def read(file: Path) -> Listed:
    """A file's prices: a YAML list of prices, each with its ``model``. Raises OSError and PriceListError."""
    if file.stat().st_size > _FILE_BYTES_MAX:
        raise PriceListError(f"{file}: must have at most {_FILE_BYTES_MAX} bytes")
    try:
        document = yaml.safe_load(file.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise PriceListError(f"{file}: is not YAML: {str(fault).splitlines()[0]}") from None
    if not isinstance(document, list):
        raise PriceListError(f"{file}: must be a YAML list of prices")
    found: dict[str, list[Price]] = {}
    for number, item in enumerate(document, start=1):
        model, fields = _split(item)
        if not model:
            raise PriceListError(f"{file}: entry {number}: model: must be a model's id")
        try:
            found.setdefault(model, []).append(price(_SCHEMA.load(fields)))
        except ValidationError as fault:
            field, rules = next(iter(fault.messages_dict.items()))
            raise PriceListError(f"{file}: entry {number} ({model}): {field}: {rules[0]}") from None
    return {model: tuple(listed) for model, listed in found.items()}


def _split(item: Any) -> tuple[str, Any]:
    if not isinstance(item, dict):
        return "", item
    model = item.get("model")
    return (model if isinstance(model, str) else ""), {name: value for name, value in item.items() if name != "model"}
