"""One script of one program: run with a clean environment, a HOME of its own and no way out but the gateway."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import string
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from maas_api.demo.seed import CALLS, LOCAL_NAME
from tests.clients.install import Place
from tests.clients.program import SUFFIX, Program
from tests.clients.tap import Tap
from tests.clients.verdict import SAID, SAID_LOCALLY, Cell, Run, judge

NOWHERE = "http://127.0.0.1:9"
"""A proxy that does not exist: whatever a program wants from the internet fails at once."""


class Base(NamedTuple):
    """Where clients call, as paths below the gateway: OpenAI's base URL ends in ``/v1``, Anthropic's does not.

    ``model``: the one model there, "" for that of the program; ``said``: how its answers begin; ``lacks``: column ->
    why nobody could answer it there.
    """

    name: str
    openai: str
    anthropic: str
    model: str = ""
    said: str = SAID
    lacks: Mapping[str, str] = MappingProxyType({})


BASES = {
    "root": Base("root", "/v1", ""),
    "one-url": Base("one-url", "/v1", "", CALLS[0].model, SAID_LOCALLY),
    "path": Base("path", "/external/openai/v1", "/external/anthropic"),
    "local": Base(
        "local",
        f"/llm/{LOCAL_NAME}/v1",
        f"/llm/{LOCAL_NAME}",
        CALLS[0].model,
        SAID_LOCALLY,
        {"retrieve": "vLLM has no endpoint for one model"},
    ),
}


class Stand(NamedTuple):
    """What is called: the gateway's port, a key, and how many requests have reached a model's server so far."""

    port: int
    key: str
    reached: Callable[[], int]


def try_column(program: Program, column: str, base: Base, stand: Stand, place: Place) -> Cell:
    """One cell."""
    program = program._replace(model=base.model or program.model)
    reason = program.unsupported.get(column) or base.lacks.get(column)
    if reason:
        return Cell("–", line=reason)
    key = f"sk-oai-{secrets.token_hex(8)}_{secrets.token_hex(16)}" if column == "bad key" else stand.key
    before = stand.reached()
    with Tap(stand.port) as tap, tempfile.TemporaryDirectory(prefix="maas-client-") as home:
        values = {
            "openai": tap.url + base.openai,
            "anthropic": tap.url + base.anthropic,
            "key": key,
            "model": program.model,
            "home": home,
            "bin": str(place.binaries(program)),
        }
        for name, text in program.files.items():
            file = Path(home, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(string.Template(text).substitute(values), "utf-8")
        command, cwd = _command(program, column, Path(home), place)
        code, output, errors = _run(command, cwd, _environment(program, values, place), program.seconds)
        run = Run(
            code,
            output.replace(key, "$KEY"),
            errors.replace(key, "$KEY"),
            tap.exchanges,
            stand.reached() - before,
            base.said,
        )
    return judge(program, column, run)


def _command(program: Program, column: str, home: Path, place: Place) -> tuple[list[str], Path]:
    """The command, and where it runs. Node looks for its modules above the script, so there it lies beside them."""
    work = home / "work"
    work.mkdir(exist_ok=True)
    script = work / f"{column.replace(' ', '_')}{SUFFIX[program.script]}"
    script.write_text(program.text(column), "utf-8")
    if program.script == "python":
        return [str(place.binaries(program) / "python"), str(script)], work
    if program.script == "node":
        (work / "node_modules").symlink_to(place.folder(program) / "node_modules")
        return [shutil.which("node") or "node", str(script)], work
    return ["/bin/bash", "-eu", str(script)], work


def _environment(program: Program, values: Mapping[str, str], place: Place) -> dict[str, str]:
    """Everything the program inherits: paths, a HOME of its own, and what its users are told to set."""
    node = shutil.which("node")
    paths = [
        str(place.binaries(program)),
        *([str(Path(node).parent)] if node else []),
        "/usr/local/bin",
        "/usr/bin",
        "/bin",
    ]
    given = {name: string.Template(text).substitute(values) for name, text in program.env.items()}
    return {
        "PATH": ":".join(paths),
        "HOME": values["home"],
        "LANG": "C.UTF-8",
        "MODEL": program.model,
        "HTTPS_PROXY": NOWHERE,
        "https_proxy": NOWHERE,
        "NO_PROXY": "127.0.0.1,localhost",
        **given,
    }


def _run(command: list[str], cwd: Path, environment: Mapping[str, str], seconds: float) -> tuple[int | None, str, str]:
    """Run it in a session of its own, which ends with it."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    code: int | None = None
    try:
        output, errors = process.communicate(timeout=seconds)
        code = process.returncode
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return code, output, errors
