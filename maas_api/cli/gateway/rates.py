"""Rates of under an hour, as ``gateway render`` is given them: as text, and in a file of MaaSSubscriptions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import yaml

from maas_api.gateway.manifests.limits import HOUR, Rate, rate, seconds_of
from maas_api.gateway.manifests.options import OptionError
from maas_api.subscriptions.model import ModelKey, ObjectError, subscription

_RULE = re.compile(r"([0-9]{1,12}) (requests|tokens)/(\S{1,20})")
_ADDRESS = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?):([0-9]{1,5})")

Object = Mapping[str, Any]


def rates(values: Mapping[str, Any]) -> list[Rate]:
    """What the rate limit service shall keep. Raises OptionError."""
    found = [_rule(text) for text in values["rates"]]
    if values["subscriptions"] is not None:
        found += _of_subscriptions(values["subscriptions"])
    return found


def service(text: str) -> tuple[str, int] | None:
    """The rate limit service's address; None for "". Raises OptionError."""
    if not text:
        return None
    match = _ADDRESS.fullmatch(text)
    if match is None or not 1 <= int(match[3]) <= 65535:
        raise OptionError(f"rate-limit-service: must be HOST:PORT, got {text!r}")
    return match[1], int(match[3])


def _rule(text: str) -> Rate:
    match = _RULE.fullmatch(text)
    if match is None:
        raise OptionError(f"rate-limit: must be '60 requests/1m' or '100000 tokens/1m', got {text!r}")
    return rate(match[2], int(match[1]), match[3])


def _of_subscriptions(path: Path) -> list[Rate]:
    """The limits of under an hour. Longer ones are the service's own, and one that nobody could keep is told."""
    try:
        documents = [item for item in yaml.safe_load_all(path.read_text("utf-8")) if isinstance(item, Mapping)]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        raise OptionError(f"subscriptions: {path} cannot be read: {type(fault).__name__}") from None
    objects = [item for document in documents for item in document.get("items") or [document]]
    called = dict(_names(objects))
    found = []
    for item in objects:
        if item.get("kind") != "MaaSSubscription":
            continue
        try:
            read = subscription(item)
        except ObjectError as fault:
            raise OptionError(f"subscriptions: {fault}") from None
        for ref in read.models:
            for limit in ref.limits:
                if seconds_of(limit.window) >= HOUR:
                    continue
                model = called.get(ref.key, ref.key.name)
                try:
                    found.append(rate("tokens", limit.limit, limit.window, read.name, model))
                except OptionError as fault:
                    click.echo(f"Warning: {read.name}, {ref.key}: {fault}", err=True)
    if not any(item.get("kind") == "MaaSSubscription" for item in objects):
        raise OptionError(f"subscriptions: {path} holds no MaaSSubscription")
    return found


def _names(objects: Iterable[Object]) -> Iterator[tuple[ModelKey, str]]:
    """MaaSModelRef -> what clients call its model."""
    for item in objects:
        if item.get("kind") != "MaaSModelRef":
            continue
        metadata, target = item.get("metadata") or {}, (item.get("spec") or {}).get("modelRef") or {}
        external = target.get("kind") == "ExternalModel"
        name = target.get("name") if external else (item.get("status") or {}).get("resolvedModelAlias")
        yield ModelKey(str(metadata.get("namespace")), str(metadata.get("name"))), str(name or metadata.get("name"))
