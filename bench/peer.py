"""The Go service that this one replaces, built from a checkout of it and served beside ours on the same database.

It reads where the database is from a Secret and finds everything else of the cluster at KUBECONFIG, as ours does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.services import Running, started
from tests.support.objects import GATEWAY, GATEWAY_NAMESPACE
from tests.support.ports import free_port


def build(checkout: Path, into: Path) -> Path:
    """The program, built from the module ``maas-api`` of a checkout, or from a checkout that is that module.

    Raises SystemExit that says what is missing, or what the compiler said.
    """
    go = shutil.which("go")
    if go is None:
        raise SystemExit("--peer builds the Go service, and there is no go here: https://go.dev/dl")
    module = next((one for one in (checkout / "maas-api", checkout) if (one / "go.mod").is_file()), None)
    if module is None or not (module / "cmd").is_dir():
        raise SystemExit(
            f"--peer: {checkout} holds no go.mod with a folder cmd beside it, nor does its folder maas-api"
        )
    program = into / "peer"
    done = subprocess.run([go, "build", "-o", str(program), "./cmd"], cwd=module, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"--peer: go build in {module} failed:\n{done.stderr.strip()}")
    return program


@contextmanager
def serving(program: Path, kubeconfig: Path) -> Iterator[Running]:
    """The peer, answering."""
    port, metrics = free_port(), free_port()
    environment = {
        **os.environ,
        "KUBECONFIG": str(kubeconfig),
        "ADDRESS": f"127.0.0.1:{port}",
        "SECURE": "false",
        "METRICS_PORT": str(metrics),
        "NAMESPACE": "maas-api",
        "GATEWAY_NAME": GATEWAY,
        "GATEWAY_NAMESPACE": GATEWAY_NAMESPACE,
        "GIN_MODE": "release",
    }
    with started([str(program)], environment, port, "/health") as process:
        yield Running(port, process)
