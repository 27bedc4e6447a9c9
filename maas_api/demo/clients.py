"""How to call the gateway from X: one line a client, all of them with the one base URL and the one key."""

from __future__ import annotations

import json
from typing import NamedTuple

from maas_api.demo.seed import CALLS, HELLO

_LOCAL, _GPT, _CLAUDE = CALLS
CODING = "claude-sonnet-5-5"
"""The model for programs that write code."""


class Line(NamedTuple):
    """What to paste into the shell that has ``MAAS_URL`` and ``API_KEY``. ``client``: its title in docs/clients.md."""

    client: str
    command: str


_OPENAI = 'OPENAI_BASE_URL="$MAAS_URL/v1" OPENAI_API_KEY="$API_KEY"'
_ANTHROPIC = 'ANTHROPIC_BASE_URL="$MAAS_URL" ANTHROPIC_API_KEY="$API_KEY"'
_SAY = json.dumps(HELLO)

_OPENAI_PYTHON = (
    f'from openai import OpenAI; print(OpenAI().chat.completions.create(model="{_CLAUDE.model}", messages={_SAY})'
    ".choices[0].message.content)"
)
_ANTHROPIC_PYTHON = (
    f'from anthropic import Anthropic; print(Anthropic().messages.create(model="{_LOCAL.model}", max_tokens=9, '
    f"messages={_SAY}).content[0].text)"
)
_OPENAI_NODE = (
    f'import OpenAI from "openai"; console.log((await new OpenAI().chat.completions.create('
    f'{{model: "{_GPT.model}", messages: {_SAY}}})).choices[0].message.content)'
)
_LANGCHAIN = f'from langchain_openai import ChatOpenAI; print(ChatOpenAI(model="{_GPT.model}").invoke("Hello").content)'
_LITELLM = (
    f'import litellm; print(litellm.completion(model="openai/{_LOCAL.model}", messages={_SAY})'
    ".choices[0].message.content)"
)
_CODEX = (
    f"-c model={_GPT.model} -c model_provider=maas -c model_providers.maas.name=MaaS "
    '-c model_providers.maas.base_url="$MAAS_URL/v1" -c model_providers.maas.env_key=MAAS_KEY '
    "-c model_providers.maas.wire_api=responses"
)

LINES = (
    Line("openai (Python)", f"{_OPENAI} python3 -c '{_OPENAI_PYTHON}'"),
    Line("anthropic (Python)", f"{_ANTHROPIC} python3 -c '{_ANTHROPIC_PYTHON}'"),
    Line("openai (Node)", f"{_OPENAI} node --input-type=module -e '{_OPENAI_NODE}'"),
    Line("langchain-openai", f"{_OPENAI.replace('BASE_URL', 'API_BASE')} python3 -c '{_LANGCHAIN}'"),
    Line("litellm (client)", f"{_OPENAI} python3 -c '{_LITELLM}'"),
    Line("Claude Code", f"{_ANTHROPIC.replace('API_KEY=', 'AUTH_TOKEN=')} ANTHROPIC_MODEL={CODING} claude"),
    Line("Codex", f'MAAS_KEY="$API_KEY" codex {_CODEX}'),
    Line("aider", f"{_OPENAI.replace('BASE_URL', 'API_BASE')} aider --model openai/{CODING}"),
    Line("Open WebUI", f"{_OPENAI.replace('BASE_URL', 'API_BASE_URL')} open-webui serve"),
)
"""A program that is not installed is not installed by its line."""


def lines() -> str:
    """The lines, each below the name of its client."""
    return "\n".join(f"# {line.client}\n{line.command}" for line in LINES)
