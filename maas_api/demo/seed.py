"""The three calls of the validation this demo reproduces: one local model, one at OpenAI, one at Anthropic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import urllib3

from maas_api.demo.client import Answer, Client
from maas_api.demo.report import Row

LOCAL_NAME = "facebook-opt-125m-simulated"
"""Name of the in-cluster model's LLMInferenceService, the path segment after ``/llm/``."""

TOKEN_SHOWN = "sk-oai-*"  # noqa: S105 -- the pattern that stands for the key in the table


class Call(NamedTuple):
    """One request of the validation, and how its answer is read.

    ``expected``: what the simulator says and its (input, output) token counts. ``provider``: the provider's name, empty
    for the in-cluster model.
    """

    model: str
    label: str
    provider: str
    path: str
    body: Mapping[str, Any]
    read: Callable[[Any], tuple[str, str, int, int]]
    expected: tuple[str, str, int, int]

    @property
    def base(self) -> str:
        """The route's prefix, which is what an SDK is pointed at."""
        return self.path.partition("/v1/")[0]


def read_openai(body: Any) -> tuple[str, str, int, int]:
    """What a chat completion says, why it ends, and its input and output tokens. Raises where it is not one."""
    choice, usage = body["choices"][0], body["usage"]
    return choice["message"]["content"], choice["finish_reason"], usage["prompt_tokens"], usage["completion_tokens"]


def read_anthropic(body: Any) -> tuple[str, str, int, int]:
    """The same of an Anthropic message."""
    usage = body["usage"]
    return body["content"][0]["text"], body["stop_reason"], usage["input_tokens"], usage["output_tokens"]


HELLO = [{"role": "user", "content": "Hello"}]

CALLS = (
    Call(
        model="facebook/opt-125m",
        label="Local (KServe)",
        provider="",
        path=f"/llm/{LOCAL_NAME}/v1/chat/completions",
        body={"model": "facebook/opt-125m", "messages": HELLO, "max_tokens": 10},
        read=read_openai,
        expected=("To be ", "stop", 1, 2),
    ),
    Call(
        model="gpt-4o-mini",
        label="OpenAI",
        provider="openai",
        path="/external/openai/v1/chat/completions",
        body={"model": "gpt-4o-mini", "messages": HELLO, "max_tokens": 5, "temperature": 0},
        read=read_openai,
        expected=("Hello! How can I", "length", 8, 5),
    ),
    Call(
        model="claude-sonnet-4-20250514",
        label="Anthropic",
        provider="anthropic",
        path="/external/anthropic/v1/messages",
        body={"model": "claude-sonnet-4-20250514", "messages": HELLO, "max_tokens": 5},
        read=read_anthropic,
        expected=("Hello! How are you", "max_tokens", 8, 5),
    ),
)


def perform(client: Client, call: Call, key: str, *, simulated: bool) -> Row:
    """Make the call with the MaaS key. A real provider may say what it likes, a simulator only what is expected."""
    label = call.label if simulated else f"{call.label} (real)"

    def row(said: str, reason: str = "") -> Row:
        return Row(call.model, label, TOKEN_SHOWN, said, not reason, reason)

    try:
        answer = client.call("POST", call.path, credential=key, body=call.body)
    except urllib3.exceptions.HTTPError as fault:
        return row("", f"no answer: {fault}")
    if answer.status != 200:
        return row("", f"POST {call.path}: {answer.brief()}")
    return _judge(call, answer, row, simulated=simulated)


def _judge(call: Call, answer: Answer, row: Callable[..., Row], *, simulated: bool) -> Row:
    try:
        read = call.read(answer.json())
    except (ValueError, KeyError, IndexError, TypeError):
        return row("", f"POST {call.path}: not the provider's shape: {answer.brief()}")
    if simulated and read != call.expected:
        return row(read[0], f"expected {call.expected}, got {read}")
    if not read[0]:
        return row("", "the answer holds no text")
    return row(read[0])
