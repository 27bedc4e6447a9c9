"""How to call the demo's gateway from X: the page's lines, each with a model of the demo."""

from __future__ import annotations

from typing import Final

from maas_api.demo.seed import CALLS
from maas_api.page.snippets import Line, line

_LOCAL, _GPT, _CLAUDE = CALLS
CODING = "claude-sonnet-5-5"
"""The model for programs that write code."""

_MODELS: Final = {
    "openai (Python)": _CLAUDE.model,
    "anthropic (Python)": _LOCAL.model,
    "openai (Node)": _GPT.model,
    "langchain-openai": _GPT.model,
    "litellm (client)": _LOCAL.model,
    "Claude Code": CODING,
    "Codex": _GPT.model,
    "aider": CODING,
    "Open WebUI": "",
}

LINES = tuple(line(client, model) for client, model in _MODELS.items())
"""What to paste into the shell that has ``MAAS_URL`` and ``API_KEY``. A program that is not installed is not installed
by its line."""

__all__ = ["LINES", "Line", "lines"]


def lines() -> str:
    """The lines, each below the name of its client."""
    return "\n".join(f"# {each.client}\n{each.command}" for each in LINES)
