"""``maas-api demo`` proves the whole flow by itself, tells the truth in its exit code, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maas_api.demo.client import Client
from maas_api.demo.process import descendants
from maas_api.demo.stack import Stack

PROMISES = (
    "one listing for all models",
    "no credential: 401",
    "junk key: 401",
    "revoked key: 401 at the next request",
    "forged X-MaaS-Username ignored",
    "a stream arrives in separate chunks",
    "ext_authz down: refused",
    "provider keys seen by providers only",
    "the MaaS key seen by no provider",
)

_LOCAL, _GPT, _CLAUDE = "facebook/opt-125m", "gpt-4o-mini", "claude-sonnet-4-20250514"
AT_ROOT = [
    *((model, "openai", "/v1/chat/completions", "PASS") for model in (_LOCAL, _GPT, _CLAUDE)),
    *((model, "anthropic", "/v1/messages", "PASS") for model in (_CLAUDE, _LOCAL)),
]
"""Model, dialect, path and verdict of the second table."""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts ``maas-api demo`` with its temporary folder in ``tmp_path``."""
    made: list[subprocess.Popen[str]] = []

    def popen(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "maas_api", "demo", *arguments]
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
        )
        made.append(process)
        return process

    yield popen
    for process in made:
        if process.poll() is None:
            process.terminate()
        process.communicate()


def mentioning(folder: Path) -> list[int]:
    """Processes whose command line names something in the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in command:
            found.append(int(entry.name))
    return found


def test_it_passes_prints_the_table_and_every_check_and_cleans_up(start: Start, tmp_path: Path) -> None:
    process = start()
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, f"{out}\n{err}"
    rows = [line for line in out.splitlines() if "sk-oai-*" in line]
    assert [row.split()[0] for row in rows] == ["facebook/opt-125m", "gpt-4o-mini", "claude-sonnet-4-20250514"]
    assert all(row.endswith("PASS") for row in rows)
    at_root = [line.split() for line in out.splitlines() if " POST /v1/" in line and '"' in line]
    assert [(row[0], row[1], row[3], row[-1]) for row in at_root] == AT_ROOT
    assert "Next: make demo ARGS=--keep" in out
    assert [text for text in ('"To be "', '"Hello! How can I"', '"Hello! How are you"') if text not in out] == []
    for promise in PROMISES:
        (line,) = [line for line in out.splitlines() if promise in line]
        assert line.startswith("PASS")
    assert "\x1b" not in out + err  # no colours off a terminal
    assert out.count("sk-oai-") == 3  # the pattern in the table, never a key
    assert list(tmp_path.iterdir()) == []
    assert mentioning(tmp_path) == []


def test_kept_running_it_gives_a_machine_what_it_needs_and_ends_on_a_signal(start: Start, tmp_path: Path) -> None:
    process = start("--keep", "--output", "json", "--quiet")
    found = read_json(process)
    assert found["passed"] is True
    assert found["seconds"] < 60
    assert [model["status"] for model in found["models"]] == ["PASS"] * 3
    assert [model["status"] for model in found["one_url"]] == ["PASS"] * len(AT_ROOT)
    client = Client(found["gateway"])
    assert client.call("GET", "/v1/models", credential=found["key"]).status == 200
    client.close()
    assert Path(found["registry"]).is_relative_to(tmp_path)
    assert len(descendants(process.pid)) >= 3
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert list(tmp_path.iterdir()) == []
    assert mentioning(tmp_path) == []


def test_ended_early_it_leaves_no_process_behind(start: Start, tmp_path: Path) -> None:
    process = start()
    assert process.stderr is not None
    for line in process.stderr:
        if "maas-api serve" in line:
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []
    assert mentioning(tmp_path) == []


def test_a_port_in_use_is_said_and_the_logs_hold_no_secret(start: Start, tmp_path: Path, stack: Stack) -> None:
    port = stack.url.rpartition(":")[2]
    process = start("--port", port, "--quiet", "--output", "json")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert json.loads(out) == {"passed": False, "reason": f"port {port} is in use already"}
    assert "FAIL" in err
    (folder,) = tmp_path.iterdir()
    assert str(folder) in err
    assert not list(folder.rglob("*secrets*"))
    assert mentioning(tmp_path) == []


def read_json(process: subprocess.Popen[str]) -> Any:
    """The first JSON document on standard output."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line == "}\n":
            return json.loads("".join(lines))
    raise AssertionError("".join(lines))
