"""Entries on the wire: the listing's own shape, which OpenAI's SDK reads, and Anthropic's. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from maas_api.access.decision import SubscriptionLabel
from maas_api.errors import encode
from maas_api.models.model import ModelEntry
from maas_api.providers import ENDPOINTS, entry_for


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
    if entry.external and not entry.ready:
        shape["reason"] = entry.unready
    if entry.url:
        shape["url"] = entry.url
    shape |= limits(entry)
    if endpoints := supported_endpoints(entry):
        shape["supported_endpoints"] = endpoints
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
    """The entry as Anthropic's Models API shows one: there ``max_tokens`` is the longest answer."""
    created = datetime.fromtimestamp(entry.created, UTC)
    known = limits(entry)
    return encode(
        {
            "type": "model",
            "id": entry.id,
            "display_name": entry.details.display_name or entry.id,
            "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lifecycle": "active",
            "max_input_tokens": known.get("max_input_tokens"),
            "max_tokens": known.get("max_output_tokens"),
        }
    )


def model_info(entry: ModelEntry) -> bytes:
    """The entry as LiteLLM's proxy shows one at ``/v1/model/info``, which coding agents read for a model's limits.

    There ``max_tokens`` is the longest answer. Prices are not ours to tell, so there are none.
    """
    known = limits(entry)
    capabilities = {item.lower().replace("-", "_").replace(" ", "_") for item in entry.details.capabilities}
    info: dict[str, Any] = {
        "id": entry.id,
        "db_model": False,
        "key": entry.called,
        "litellm_provider": entry.owned_by,
        "max_tokens": known.get("max_output_tokens"),
        "max_input_tokens": known.get("max_input_tokens"),
        "max_output_tokens": known.get("max_output_tokens"),
        "supported_endpoints": supported_endpoints(entry),
    }
    info |= {f"supports_{what}": True for what, names in _SUPPORTED.items() if names & capabilities}
    return encode({"model_name": entry.called, "litellm_params": {"model": entry.called}, "model_info": info})


_SUPPORTED = {
    "vision": {"vision", "image", "images", "image_input"},
    "function_calling": {"tools", "tool_use", "tool_calling", "function_calling"},
    "reasoning": {"reasoning", "thinking"},
    "prompt_caching": {"prompt_caching", "caching"},
}
"""LiteLLM's word for an ability -> the words for it in ``capabilities``."""


def limits(entry: ModelEntry) -> dict[str, int]:
    """The model's numbers of tokens as clients call them: OpenRouter's ``context_length``, vLLM's ``max_model_len``,
    and LiteLLM's two. Only what is known; where no other bound is told, an input may fill the context."""
    details = entry.details
    context, longest = tokens(details.context_window), tokens(details.max_output_tokens)
    told = {
        "context_length": context,
        "max_model_len": context,
        "max_input_tokens": tokens(details.max_input_tokens) or context,
        "max_output_tokens": longest,
    }
    return {name: value for name, value in told.items() if value}


def supported_endpoints(entry: ModelEntry) -> list[str]:
    """The endpoints at the gateway's root at which the model can be called: those its provider speaks, or, of a server
    in the cluster, all; it says itself what it does not do. Empty for a model that has no way there."""
    if not entry.provider and entry.local is None:
        return []
    return [f"/v1/{name}" for name in (entry_for(entry.provider).endpoints if entry.provider else ENDPOINTS)]


def tokens(window: str) -> int | None:
    """A context window such as ``128000`` or ``128k`` as a number of tokens; None when it is neither."""
    scale = {"k": 1000, "m": 1_000_000}.get(window[-1:].lower(), 1)
    digits = window if scale == 1 else window[:-1]
    return int(digits) * scale if digits.isascii() and digits.isdigit() else None
