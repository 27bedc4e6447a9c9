"""The second table: the same key, one base URL, every model by its name alone, in both SDKs' dialects."""

from __future__ import annotations

from typing import NamedTuple

from maas_api.demo.client import Client
from maas_api.demo.report import OneUrlRow
from maas_api.demo.seed import CALLS, HELLO, Call, perform, read_anthropic, read_openai

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


class RootCall(NamedTuple):
    """A call at the gateway's root. ``sdk``: whose dialect it is in, which is not always the model's maker's."""

    sdk: str
    call: Call


_LOCAL, _GPT, _CLAUDE = CALLS

ROOT_CALLS = (
    RootCall("openai", _LOCAL._replace(path=CHAT)),
    RootCall("openai", _GPT._replace(path=CHAT)),
    RootCall("openai", _CLAUDE._replace(path=CHAT, read=read_openai, expected=("Hello! How are you", "length", 8, 5))),
    RootCall("anthropic", _CLAUDE._replace(path=MESSAGES)),
    RootCall(
        "anthropic",
        _LOCAL._replace(
            path=MESSAGES,
            body={"model": _LOCAL.model, "messages": HELLO, "max_tokens": 10},
            read=read_anthropic,
            expected=("To be ", "end_turn", 1, 2),
        ),
    ),
)
"""Only the model's name in the body says where each goes."""


def call_at_root(client: Client, root: RootCall, key: str, *, simulated: bool) -> OneUrlRow:
    """Make the call with the MaaS key at the base URL alone; judged as the calls on the models' own paths are."""
    row = perform(client, root.call, key, simulated=simulated)
    return OneUrlRow(root.call.model, root.sdk, f"POST {root.call.path}", row.response, row.passed, row.reason)
