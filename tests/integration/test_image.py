"""The image's recipe: linted, and performed step by step in a clean folder, since no container engine runs here."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import stat
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support import dockerfile
from tests.support.collector import collector
from tests.support.kubernetes import ROOT
from tests.support.ports import free_port
from tests.support.wait import until

BUILD, FINAL = dockerfile.stages((ROOT / "Dockerfile").read_text())
PREFIX = "/opt/maas-api"
RANDOM_UID = 1000660000
"""A user as OpenShift gives one to a namespace; its group is 0."""


def test_the_linter_has_nothing_to_say() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_is_pinned_by_digest_and_the_same_for_both_stages() -> None:
    assert BUILD.base == FINAL.base
    assert re.fullmatch(r"[a-z0-9./-]+@sha256:[0-9a-f]{64}", FINAL.base)


def test_the_last_stage_runs_nothing_and_takes_the_installation_alone() -> None:
    assert FINAL.of("RUN") == []
    assert [item.rest for item in FINAL.of("COPY")] == [f"--from={BUILD.name} {PREFIX} {PREFIX}"]
    assert FINAL.of("ADD") == BUILD.of("ADD") == []


def test_the_user_is_a_number_and_not_root() -> None:
    """A name could be root; the kubelet's runAsNonRoot refuses what it cannot check."""
    assert [item.rest for item in FINAL.of("USER")] == ["1001"]


def test_the_build_stage_installs_locked_tools_that_match_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["build-system"]["requires"]) < set(project["dependency-groups"]["build"])
    locked = (ROOT / "requirements/build.lock").read_text()
    for requirement in project["dependency-groups"]["build"]:
        assert f"{requirement} \\\n" in locked


def interpreter() -> tuple[str, bool]:
    """A Python for the installation, and whether any user of this machine can run it."""
    for candidate in (Path(sys.base_prefix, "bin", "python3"), Path("/usr/bin/python3")):
        if not candidate.exists() or not all(folder.stat().st_mode & stat.S_IXOTH for folder in candidate.parents):
            continue
        check = "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))"
        if subprocess.run([candidate, "-c", check], capture_output=True, check=False).returncode == 0:
            return str(candidate), True
    return sys.executable, False


class Container:
    """The installed files, and how a process in the image would run them: its environment, its user, no rights."""

    def __init__(self, root: Path, python: str, *, droppable: bool) -> None:
        self.prefix = root / "prefix"
        self.memory = root / "memory"
        self.memory.mkdir()
        self.memory.chmod(0o777)
        self._python = python
        self._drop: dict[str, Any] = {}
        self._command: list[str] = []
        if os.geteuid() == 0 and droppable:
            self._drop = {"user": RANDOM_UID, "group": 0, "extra_groups": []}
        elif os.geteuid() == 0:
            self._command = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]

    def build(self, source: Path) -> None:
        """The build stage: copy what the image copies, run what it runs. Afterwards nothing of it can be written."""
        dockerfile.copy_context(BUILD, ROOT, source)
        for item in BUILD.of("RUN"):
            step = item.rest.replace(PREFIX, str(self.prefix))
            assert step != item.rest, f"a step that does not name {PREFIX} needs a look: {item.rest}"
            done = subprocess.run(
                step,
                shell=True,
                cwd=source,
                env={**os.environ, "PYTHON": self._python},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        for path in (self.prefix, *self.prefix.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~0o222)

    def environment(self, **more: str) -> dict[str, str]:
        """What ENV sets, on an otherwise empty environment."""
        path = f"{self.prefix / 'bin'}:/usr/bin:/bin"
        own = {name: value for name, value in FINAL.environment().items() if name != "PATH"}
        return {"PATH": path, "HOME": "/", **own, **more}

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """A process in the image, its output going to a file in memory."""
        with (self.memory / "log").open("a") as log:
            return subprocess.Popen(
                [*self._command, *FINAL.of("ENTRYPOINT")[0].words, *arguments],
                env=self.environment(**variables),
                cwd=self.memory,
                stdout=log,
                stderr=log,
                text=True,
                **self._drop,
            )

    def run(self, *arguments: str, **variables: str) -> tuple[int, str]:
        """Exit code and output of a command in the image."""
        done = subprocess.run(
            [*self._command, *arguments],
            env=self.environment(**variables),
            cwd=self.memory,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
            **self._drop,
        )
        return done.returncode, done.stdout + done.stderr


@contextmanager
def clean_root() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    root = Path(tempfile.mkdtemp(prefix="maas-image-"))
    root.chmod(0o755)
    try:
        yield root
    finally:
        for path in root.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(root)


@pytest.mark.timeout(400)  # it installs everything; on a busy machine that takes a while
def test_performed_step_by_step_it_serves_mints_and_validates_as_any_user() -> None:
    python, droppable = interpreter()
    with clean_root() as root, collector() as traces:
        container = Container(root, python, droppable=droppable)
        container.build(root / "source")
        shutil.rmtree(root / "source")

        # What is inside can be listed, and nothing more can be installed or written.
        listed = "import importlib.metadata as m, json; print(json.dumps([d.name.lower() for d in m.distributions()]))"
        code, text = container.run("python", "-c", listed)
        assert code == 0, text
        packages = set(json.loads(text))
        assert {"maas-gateway-api", "flask", "gunicorn", "urllib3", "opentelemetry-sdk"} <= packages
        assert not {"pip", "uv", "hatchling", "pytest"} & packages
        assert (container.prefix / "share/maas-api/requirements.lock").read_bytes() == (
            ROOT / "requirements/runtime.lock"
        ).read_bytes()
        probe = f"open({str(container.prefix / 'bin' / 'probe')!r}, 'w')"
        code, text = container.run("python", "-c", probe)
        assert code == 1
        assert "PermissionError" in text
        for source in container.prefix.rglob("*.py"):  # as a copy of the image's layers may leave them
            os.utime(source, (0, 0))
        code, text = container.run("python", "-v", "-c", "import maas_api.server")
        assert code == 0, text
        assert "# code object from '" in text, "Python no longer says where it has code from"
        assert "# code object from /" not in text, "a module is compiled at each start"

        port, metrics = free_port(), free_port()
        variables = {
            "ADDRESS": f"127.0.0.1:{port}",
            "METRICS_ADDRESS": "127.0.0.1",
            "METRICS_PORT": str(metrics),
            "TLS_SELF_SIGNED": "true",
            "KUBERNETES": "off",
            "DEFAULT_SUBSCRIPTION": "default",
            "SQLITE_PATH": str(container.memory / "keys.db"),
            "TMPDIR": str(container.memory),
            "LOG_FORMAT": "json",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{traces.port}",
            "OTEL_EXPORTER_OTLP_INSECURE": "true",
        }
        process = container.start(*FINAL.of("CMD")[0].words, **variables)
        try:
            base = f"https://127.0.0.1:{port}"
            with httpx.Client(base_url=base, verify=_unverified()) as client:
                until(lambda: _ready(client, process), what="the service in the image", seconds=60)
                _mint_and_validate(client)
            health = json.loads(FINAL.of("HEALTHCHECK")[0].rest.partition("CMD ")[2])
            assert container.run(*health, **variables) == (0, "ready\n")
        finally:
            process.terminate()
            assert process.wait(30) == 0, (container.memory / "log").read_text()
        assert "Traceback" not in (container.memory / "log").read_text()
        assert any(b"/v1/api-keys" in batch for batch in traces.received), "tracing works with what the image holds"


def _ready(client: httpx.Client, process: subprocess.Popen[str]) -> bool:
    assert process.poll() is None, "the service ended while starting"
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _mint_and_validate(client: httpx.Client) -> None:
    identity = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["team-a"]'}
    minted = client.post("/v1/api-keys", json={"name": "image"}, headers=identity)
    assert minted.status_code == 201, minted.text
    verdict = client.post("/internal/v1/api-keys/validate", json={"key": minted.json()["key"]}).json()
    assert (verdict["valid"], verdict["username"], verdict["subscription"]) == (True, "alice", "default")
