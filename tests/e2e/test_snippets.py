"""The commands that ``maas-api demo --keep`` prints work as they are pasted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from maas_api.demo import clients, snippets
from maas_api.demo.seed import CALLS
from maas_api.demo.stack import Stack
from tests.support.process import ROOT
from tests.support.shell import blocks


@pytest.mark.skipif(not shutil.which("bash") or not shutil.which("curl"), reason="needs bash and curl")
def test_the_shell_commands_work_as_pasted(stack: Stack, key: str) -> None:
    text = snippets.shell(stack, key)
    assert text.count(key) == 1  # shown once, where it is exported
    assert not [secret for secret in (*stack.keys.values(), stack.user.token) if secret in text]
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for expected in ('"object":"list"', "To be ", "Hello! How can I", "Hello! How are you", "data: [DONE]"):
        assert expected in done.stdout
    assert '"name":"mine"' in done.stdout


def test_the_python_commands_work_as_pasted(stack: Stack, key: str) -> None:
    environment = {**os.environ, "MAAS_URL": stack.url, "API_KEY": key}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", snippets.python()]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert {"facebook/opt-125m llm", *(f"{call.model} {call.provider}" for call in CALLS[1:])} <= set(lines[:-6])
    assert lines[-6:] == [
        "To be ",
        "Hello! How can I",
        "Hello! How are you",
        "Hello! How can I",
        "Hello! How are you",
        "To be ",
    ]


SDKS = [line for line in clients.LINES if line.client in {"openai (Python)", "anthropic (Python)"}]


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize("line", SDKS, ids=lambda line: line.client)
def test_a_clients_line_works_as_pasted(line: clients.Line, stack: Stack, key: str) -> None:
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    environment = {**os.environ, "PATH": path, "MAAS_URL": stack.url, "API_KEY": key, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(["bash", "-c", line.command], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("Hello! How are you", "To be "))


PAGES = [ROOT / "README.md", ROOT / "docs" / "use.md"]
CODE = [(page.name, line, text) for page in PAGES for line, kind, text in blocks(page.read_text()) if kind == "python"]


@pytest.mark.parametrize(("page", "line", "code"), CODE, ids=[f"{page}:{line}" for page, line, _ in CODE])
def test_the_python_of_the_pages_works_as_pasted(page: str, line: int, code: str, stack: Stack, key: str) -> None:
    environment = {**os.environ, "MAAS_URL": stack.url, "API_KEY": key}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, f"{page}:{line}: {done.stderr}"
    assert "Hello" in done.stdout
