"""Entries on the wire: the listing's own shape, which OpenAI's SDK reads, and Anthropic's. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from maas_api.access.decision import SubscriptionLabel
from maas_api.errors import encode
from maas_api.models.model import ModelEntry


def openai(entry: ModelEntry, subscriptions: tuple[SubscriptionLabel, ...] = ()) -> bytes:
    """The entry as ``GET /v1/models`` lists it: OpenAI's fields, and what this platform adds.

    ``subscriptions``: those of the caller's that open the model.
    """
    shape: dict[str, Any] = {
        "id": entry.id,
        "object": "model",
        "created": entry.created,
        "owned_by": entry.owned_by,
        "ready": entry.ready,
    }
    if entry.url:
        shape["url"] = entry.url
    if details := _details(entry):
        shape["modelDetails"] = details
    if entry.aliases and not entry.external:  # at a provider nothing turns an alias into the name it knows
        shape["aliases"] = list(entry.aliases)
    if entry.target:
        shape["targetModel"] = entry.target
    if entry.kind:
        shape["kind"] = entry.kind
    if subscriptions:
        shape["subscriptions"] = [_subscription(*label) for label in subscriptions]
    return encode(shape)


def _subscription(name: str, display_name: str, description: str) -> dict[str, str]:
    shape = {"name": name, "displayName": display_name, "description": description}
    return {key: value for key, value in shape.items() if value}


def _details(entry: ModelEntry) -> dict[str, Any]:
    details = entry.details
    shape: dict[str, Any] = {
        "genaiUseCase": details.genai_use_case,
        "description": details.description,
        "displayName": details.display_name,
        "contextWindow": details.context_window,
        "modelCapabilities": list(details.capabilities),
    }
    return {name: value for name, value in shape.items() if value}


def anthropic(entry: ModelEntry) -> bytes:
    """The entry as Anthropic's Models API shows one."""
    created = datetime.fromtimestamp(entry.created, UTC)
    return encode(
        {
            "type": "model",
            "id": entry.id,
            "display_name": entry.details.display_name or entry.id,
            "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lifecycle": "active",
            "max_input_tokens": tokens(entry.details.context_window),
        }
    )


def tokens(window: str) -> int | None:
    """A context window such as ``128000`` or ``128k`` as a number of tokens; None when it is neither."""
    scale = {"k": 1000, "m": 1_000_000}.get(window[-1:].lower(), 1)
    digits = window if scale == 1 else window[:-1]
    return int(digits) * scale if digits.isascii() and digits.isdigit() else None
