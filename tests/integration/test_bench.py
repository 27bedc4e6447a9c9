"""``make bench`` says what it needs and takes, and ends what it started, however it is ended itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.process import ROOT
from tests.support.wait import until


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that PostgreSQL's own user may enter, unlike pytest's."""
    made = Path(tempfile.mkdtemp(prefix="maas-bench-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def started(folder: Path) -> list[int]:
    """Processes that have to do with the folder."""
    return [one.pid for one in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(one.info["cmdline"] or ())]


def test_its_help_says_what_it_takes_and_needs() -> None:
    done = subprocess.run([sys.executable, "-m", "bench", "--help"], cwd=ROOT, capture_output=True, text=True)
    for word in ("minutes", "wrk", "--quick"):
        assert word in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ended_early_it_leaves_no_database_behind(folder: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "bench", "--quick", "--only", "revocation"]
    environ = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as bench:
        until(lambda: started(folder), what="PostgreSQL runs", seconds=60)
        bench.send_signal(number)
        _, said = bench.communicate(timeout=60)
    assert bench.returncode == 128 + number, said.decode()
    assert started(folder) == []
