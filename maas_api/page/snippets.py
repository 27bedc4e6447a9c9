"""How to call a model from X: one line a client, all of them with the one base URL and the one key. Pure.

Each line is for a shell in which ``MAAS_URL`` and ``API_KEY`` are set. A model's name is somebody else's word: it is
quoted for its language first, and the whole for the shell. Clients are called as in docs/clients.md.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple


class Line(NamedTuple):
    """What to paste."""

    client: str
    command: str


class _Client(NamedTuple):
    """``endpoint``: what it calls at the gateway's root; a model without it is not for this client."""

    title: str
    endpoint: str
    command: Callable[[str], str]


HELLO: Final = ({"role": "user", "content": "Hello"},)

_OPENAI: Final = 'OPENAI_BASE_URL="$MAAS_URL/v1" OPENAI_API_KEY="$API_KEY"'
_OPENAI_API_BASE: Final = _OPENAI.replace("BASE_URL", "API_BASE")
_ANTHROPIC: Final = 'ANTHROPIC_BASE_URL="$MAAS_URL" ANTHROPIC_API_KEY="$API_KEY"'
_SAY: Final = json.dumps(HELLO)
CHAT: Final = "chat/completions"
_BODIES: Final[dict[str, dict[str, Any]]] = {
    CHAT: {"messages": HELLO},
    "messages": {"max_tokens": 100, "messages": HELLO},
    "responses": {"input": "Hello"},
    "completions": {"prompt": "Hello", "max_tokens": 20},
    "embeddings": {"input": "Hello"},
    "moderations": {"input": "Hello"},
    "images/generations": {"prompt": "A lighthouse at dusk", "size": "1024x1024"},
    "audio/speech": {"input": "Hello", "voice": "alloy"},
}


def exports(base_url: str, key: str = "") -> str:
    """The two variables that every line reads."""
    url = shlex.quote(base_url) if base_url else "<the gateway's address>"
    return f"export MAAS_URL={url}\nexport API_KEY={key or 'sk-oai-...'}"


def lines(model: str, endpoints: Collection[str]) -> list[Line]:
    """A line for each client that can call the model; ``endpoints`` (``/v1/...``) are those it answers at."""
    calls = [name for name in _BODIES if f"/v1/{name}" in endpoints]
    shown = calls if CHAT not in calls else [name for name in calls if name in (CHAT, "messages", "responses")]
    curls = [Line(f"curl, /v1/{name}", curl(name, model)) for name in shown]
    return curls + [Line(one.title, one.command(model)) for one in _CLIENTS if one.endpoint in calls]


def line(client: str, model: str) -> Line:
    """The line of one client."""
    return Line(client, next(one.command(model) for one in _CLIENTS if one.title == client))


def curl(endpoint: str, model: str) -> str:
    """A request at the gateway's root."""
    body = json.dumps({"model": model, **_BODIES[endpoint]}, separators=(",", ":"), ensure_ascii=False)
    output = " -o hello.mp3" if endpoint == "audio/speech" else ""
    return (
        f'curl -s "$MAAS_URL/v1/{endpoint}" -H "Authorization: Bearer $API_KEY"{output} '
        f'-H "Content-Type: application/json" -d {shlex.quote(body)}'
    )


def _openai_python(model: str) -> str:
    code = (
        f"from openai import OpenAI; print(OpenAI().chat.completions.create(model={json.dumps(model)}, messages={_SAY})"
        ".choices[0].message.content)"
    )
    return f"{_OPENAI} python3 -c {shlex.quote(code)}"


def _embeddings_python(model: str) -> str:
    code = (
        f'from openai import OpenAI; print(OpenAI().embeddings.create(model={json.dumps(model)}, input="Hello")'
        ".data[0].embedding[:4])"
    )
    return f"{_OPENAI} python3 -c {shlex.quote(code)}"


def _anthropic_python(model: str) -> str:
    code = (
        f"from anthropic import Anthropic; print(Anthropic().messages.create(model={json.dumps(model)}, max_tokens=9, "
        f"messages={_SAY}).content[0].text)"
    )
    return f"{_ANTHROPIC} python3 -c {shlex.quote(code)}"


def _openai_node(model: str) -> str:
    code = (
        'import OpenAI from "openai"; console.log((await new OpenAI().chat.completions.create('
        f"{{model: {json.dumps(model)}, messages: {_SAY}}})).choices[0].message.content)"
    )
    return f"{_OPENAI} node --input-type=module -e {shlex.quote(code)}"


def _langchain(model: str) -> str:
    code = (
        f'from langchain_openai import ChatOpenAI; print(ChatOpenAI(model={json.dumps(model)}).invoke("Hello").content)'
    )
    return f"{_OPENAI_API_BASE} python3 -c {shlex.quote(code)}"


def _litellm(model: str) -> str:
    code = (
        f"import litellm; print(litellm.completion(model={json.dumps(f'openai/{model}')}, messages={_SAY})"
        ".choices[0].message.content)"
    )
    return f"{_OPENAI} python3 -c {shlex.quote(code)}"


def _claude_code(model: str) -> str:
    variables = _ANTHROPIC.replace("API_KEY=", "AUTH_TOKEN=")
    return f"{variables} ANTHROPIC_MODEL={shlex.quote(model)} claude"


def _codex(model: str) -> str:
    return (
        f'MAAS_KEY="$API_KEY" codex -c {shlex.quote(f"model={model}")} -c model_provider=maas '
        '-c model_providers.maas.name=MaaS -c model_providers.maas.base_url="$MAAS_URL/v1" '
        "-c model_providers.maas.env_key=MAAS_KEY -c model_providers.maas.wire_api=responses"
    )


def _aider(model: str) -> str:
    return f"{_OPENAI_API_BASE} aider --model {shlex.quote(f'openai/{model}')}"


def _open_webui(_model: str) -> str:
    return f"{_OPENAI.replace('BASE_URL', 'API_BASE_URL')} open-webui serve"


_CLIENTS: Final = (
    _Client("openai (Python)", CHAT, _openai_python),
    _Client("anthropic (Python)", "messages", _anthropic_python),
    _Client("openai (Node)", CHAT, _openai_node),
    _Client("langchain-openai", CHAT, _langchain),
    _Client("litellm (client)", CHAT, _litellm),
    _Client("Claude Code", "messages", _claude_code),
    _Client("Codex", "responses", _codex),
    _Client("aider", CHAT, _aider),
    _Client("Open WebUI", CHAT, _open_webui),
    _Client("openai (Python), embeddings", "embeddings", _embeddings_python),
)
