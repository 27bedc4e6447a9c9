"""The commands that ``maas-api demo --keep`` prints work as they are pasted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from maas_api.demo import snippets
from maas_api.demo.seed import CALLS
from maas_api.demo.stack import Stack


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
    assert {"facebook/opt-125m llm", *(f"{call.model} {call.provider}" for call in CALLS[1:])} <= set(lines[:-3])
    assert lines[-3:] == ["Hello! How can I", "Hello! How are you", "To be "]
