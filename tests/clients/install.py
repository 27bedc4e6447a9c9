"""Each program in an environment of its own, below one cache folder: a venv, or a folder with its node_modules."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.clients.program import Program

PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "SSL_CERT_FILE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "TMPDIR",
    "HTTPS_PROXY",
    "NO_PROXY",
)
"""What an installer inherits: it may need the network, which the programs themselves never do."""


class InstallError(Exception):
    """A program could not be installed. Says which and why."""


class Place:
    """Where programs are installed. ``root``: the cache folder; ``uv``: the installer for Python."""

    def __init__(self, root: Path, uv: Path, python: Path) -> None:
        self._root = root
        self._uv = uv
        self._python = python

    def folder(self, program: Program) -> Path:
        """The program's own folder. Its name changes with what is installed, so an old one is never half renewed."""
        wanted = json.dumps([program.runtime, program.install])
        return self._root / f"{program.name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"

    def binaries(self, program: Program) -> Path:
        """The folder of its executables."""
        return self.folder(program) / ("bin" if program.runtime == "python" else "node_modules/.bin")

    def install(self, program: Program) -> None:
        """Install it unless it is there. Raises InstallError."""
        folder = self.folder(program)
        if (folder / ".installed").is_file():
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if program.runtime == "python":
            self._call(
                program, [str(self._uv), "venv", "--quiet", "--clear", "--python", str(self._python), str(folder)]
            )
            if program.install:
                target = ["--python", str(folder / "bin" / "python")]
                self._call(program, [str(self._uv), "pip", "install", "--quiet", *target, *program.install])
        else:
            (folder / "package.json").write_text('{"private": true, "type": "module"}')
            options = ["--no-audit", "--no-fund", "--save-exact", "--silent"]
            self._call(program, ["npm", "install", *options, *program.install], cwd=folder)
        (folder / ".installed").touch()

    def _call(self, program: Program, command: list[str], cwd: Path | None = None) -> None:
        inherited: Mapping[str, str] = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        done = subprocess.run(command, cwd=cwd, env=inherited, capture_output=True, text=True, timeout=900, check=False)
        if done.returncode:
            why = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
            raise InstallError(f"{program.title}: {' '.join(command[:3])} ...: {why[0]}")


def versions(program: Program) -> str:
    """What is installed, as a reader names it: the pins of the packages that are shown."""
    shown = program.install[:1] if not program.shows else [p for p in program.install if program.shows in p]
    return ", ".join(" ".join(package.rpartition("==" if "==" in package else "@")[::2]) for package in shown)
