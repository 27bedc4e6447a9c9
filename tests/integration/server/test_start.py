"""A start loads what it needs and nothing else, and what its processes can share they share.

The bounds of time and memory are far from what is usual: they are for an import that creeps back.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from maas_api.cli import COMMANDS
from tests.support.process import ROOT, Running, running
from tests.support.wait import until

NOT_FOR_HELP = {"asyncio", "flask", "gunicorn", "http.client", "marshmallow", "sqlalchemy", "yaml", "maas_api.config"}
NOT_FOR_A_LAPTOP = {
    "alembic", "cryptography", "google.protobuf", "grpc", "jwt", "kubernetes", "opentelemetry", "psycopg", "requests",
    "sqlalchemy.orm", "unittest", "urllib3",
}  # fmt: skip
"""What is for PostgreSQL, for a cluster, for issuers, for a schema that is not the newest, for traces, for usage."""
NOT_IN_A_LAPTOPS_PROCESS = ("psycopg", "/cryptography/", "/google/", "/grpc/")
"""The same as compiled libraries, which show in a running process."""


def loaded(program: str, *arguments: str) -> set[str]:
    """The modules after a program."""
    tail = "\nimport json, sys; print('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program + tail, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_loads_nothing_of_the_service() -> None:
    found = loaded(
        "import contextlib, sys; sys.argv = ['maas-api', '--help']\n"
        "from maas_api.cli import main\n"
        "with contextlib.suppress(SystemExit): main()"
    )
    assert "click" in found
    assert found & NOT_FOR_HELP == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_of_each_command_what_the_command_says_of_itself(name: str) -> None:
    command = getattr(importlib.import_module(f"maas_api.cli.{name}"), name)
    assert COMMANDS[name] == command.get_short_help_str(limit=1000)


def test_a_laptops_service_loads_no_driver_no_cluster_and_no_migration(tmp_path: Path) -> None:
    from maas_api import migrations

    url = f"sqlite:///{tmp_path / 'keys.db'}"
    migrations.upgrade(url)
    found = loaded(
        "import sys\n"
        "from maas_api import migrations, server\n"
        "from maas_api.config import load\n"
        "url, folder = sys.argv[1:]\n"
        "migrations.upgrade(url)\n"
        "service = server.build(load({'database_url': url, 'kubernetes': 'off', 'manifests': folder}, {}))\n"
        "service.start(); service.stop()",
        url,
        str(tmp_path),
    )
    assert "sqlalchemy" in found
    assert found & NOT_FOR_A_LAPTOP == set()


def processes(service: Running) -> list[psutil.Process]:
    """The master and its workers."""
    return [psutil.Process(pid) for pid in (service.process.pid, *service.workers())]


def pss(service: Running) -> float:
    """MB of all its processes, what they share counted once."""
    return sum(process.memory_full_info().pss for process in processes(service)) / 1e6


@pytest.mark.parametrize(("workers", "most"), [("1", 130), ("2", 190)])
def test_an_idle_service_is_light_because_its_workers_share_what_the_master_loaded(
    tmp_path: Path, workers: str, most: int
) -> None:
    with running(tmp_path, "--workers", workers) as service:
        maps = [region.path for process in processes(service) for region in process.memory_maps()]
        assert [path for path in maps if any(name in path for name in NOT_IN_A_LAPTOPS_PROCESS)] == []
        assert pss(service) < most


def used(process: psutil.Process) -> float:
    """Seconds of the processor, its ended children's included."""
    return sum(process.cpu_times()[:4])


def least(measure: Callable[[], float], times: int = 3) -> float:
    """The number that the machine's other work made least of."""
    return min(measure() for _ in range(times))


def test_a_start_takes_a_few_times_what_its_frameworks_take(tmp_path: Path) -> None:
    def frameworks() -> float:
        before = os.times()
        program = "import flask, gunicorn.app.base, sqlalchemy, marshmallow, uvicorn, uvloop"
        subprocess.run([sys.executable, "-c", program], check=True)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    def service() -> float:
        with running(tmp_path) as started:
            return sum(used(process) for process in processes(started))

    service()  # makes the file, and leaves the bytecode
    assert least(service) < 5 * least(frameworks)


TOKENS = "- token: {0}-token-not-a-secret\n  username: {0}\n  groups: [g]\n"


def may_list(service: Running, who: str) -> bool:
    """Whether the workers know a token; each is asked several times."""
    said = [
        httpx.get(f"{service.url}/v1/models", headers={"Authorization": f"Bearer {who}-token-not-a-secret"}).status_code
        for _ in range(8)
    ]
    return set(said) == {200}


def test_sighup_reads_the_settings_files_again_and_a_broken_one_ends_nothing(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.yaml"
    tokens.write_text(TOKENS.format("ann"))
    with running(tmp_path, "--workers", "2", "--tokens-file", str(tokens), "--sign-in") as service:
        assert may_list(service, "ann")
        tokens.write_text(TOKENS.format("bob"))
        before = set(service.workers())
        service.process.send_signal(signal.SIGHUP)
        until(lambda: may_list(service, "bob") and not before & set(service.workers()), what="bob is known", seconds=30)
        assert not may_list(service, "ann")

        tokens.write_text("nonsense")
        before = set(service.workers())
        service.process.send_signal(signal.SIGHUP)
        until(lambda: not before & set(service.workers()), what="the workers are new ones", seconds=30)
        until(lambda: may_list(service, "bob"), what="bob is known still", seconds=30)
        assert "new workers serve what was read before" in service.log()
        assert "--tokens-file" in service.log()


def test_as_many_files_are_opened_as_are_allowed(tmp_path: Path) -> None:
    """Every connection is a file; a shell's soft limit is for programs of another time."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
    try:
        with running(tmp_path) as service:
            limits = [psutil.Process(pid).rlimit(resource.RLIMIT_NOFILE) for pid in service.workers()]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert limits
    assert set(limits) == {(hard, hard)}
