"""A line to paste is one command, whatever the model is called, and is shown for clients that can call the model."""

from __future__ import annotations

import json
import shlex
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maas_api.page import snippets
from maas_api.providers import ENDPOINTS

EVERYWHERE = [f"/v1/{name}" for name in ENDPOINTS]
HOSTILE = """x'; touch /tmp/owned; $(id) `id` "quoted" <script>alert(1)</script> \\ %s"""
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40)


@settings(deadline=None)
@given(NAMES)
def test_a_model_s_name_is_data_in_every_line(model: str) -> None:
    for line in snippets.lines(model, EVERYWHERE):
        words = shlex.split(line.command)
        plain = shlex.split(
            next(one.command for one in snippets.lines("plain", EVERYWHERE) if one.client == line.client)
        )
        assert len(words) == len(plain), line.client
        quoted = (model, json.dumps(model), json.dumps(f"openai/{model}"), json.dumps(model, ensure_ascii=False))
        for word, other in zip(words, plain, strict=True):
            assert word == other or any(name in word for name in quoted), line.client


def test_the_body_that_curl_sends_is_the_model_s_name_and_no_more() -> None:
    for name in ("chat/completions", "embeddings", "audio/speech"):
        body = json.loads(shlex.split(snippets.curl(name, HOSTILE))[-1])
        assert body["model"] == HOSTILE


def test_a_shell_runs_nothing_of_a_hostile_name() -> None:
    for line in snippets.lines(HOSTILE, EVERYWHERE):
        program = next(word for word in shlex.split(line.command) if "=" not in word)
        functions = f"{program}() {{ printf '%s\\n' \"$#\"; }}; touch() {{ echo OWNED; }}; id() {{ echo OWNED; }}"
        told = f"{functions}\n{line.command}"
        done = subprocess.run(["bash", "-c", told], capture_output=True, text=True, check=True)
        assert "OWNED" not in done.stdout + done.stderr, line.client


@pytest.mark.parametrize(
    ("endpoints", "has", "lacks"),
    [
        (["/v1/messages"], {"Claude Code", "anthropic (Python)", "curl, /v1/messages"}, {"openai (Python)", "Codex"}),
        (["/v1/chat/completions"], {"openai (Python)", "aider"}, {"Claude Code", "Codex"}),
        (["/v1/responses"], {"Codex"}, {"openai (Python)"}),
        (["/v1/embeddings"], {"curl, /v1/embeddings", "openai (Python), embeddings"}, {"openai (Python)", "aider"}),
        (["/v1/audio/speech"], {"curl, /v1/audio/speech"}, {"openai (Python)"}),
        ([], set(), {"openai (Python)"}),
    ],
    ids=lambda value: " ".join(sorted(value)),
)
def test_clients_are_those_that_speak_what_the_model_answers(
    endpoints: list[str], has: set[str], lacks: set[str]
) -> None:
    shown = {line.client for line in snippets.lines("m", endpoints)}
    assert has <= shown
    assert not lacks & shown


def test_the_variables_are_one_word_each() -> None:
    assert (
        snippets.exports("https://m.example", "sk-oai-x")
        == "export MAAS_URL=https://m.example\nexport API_KEY=sk-oai-x"
    )
    assert "export MAAS_URL='https://m.example;id'" in snippets.exports("https://m.example;id")
    assert "<the gateway's address>" in snippets.exports("")
