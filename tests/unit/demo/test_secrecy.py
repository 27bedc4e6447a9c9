"""A secret is found wherever it lies, and only its place is told."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maas_api.demo import secrecy


@pytest.fixture
def secret() -> str:
    return secrets.token_urlsafe(24)


@pytest.fixture(params=["argument", "environment"])
def leaking_child(secret: str, request: pytest.FixtureRequest) -> Iterator[int]:
    """A process that carries the secret where everyone on the machine can read it."""
    argument = [secret] if request.param == "argument" else []
    environment = {**os.environ, "LEAK": secret} if request.param == "environment" else None
    command = [sys.executable, "-c", "print(flush=True); input()", *argument]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child.pid
        child.communicate(b"\n")


def test_texts_are_searched(secret: str) -> None:
    found = secrecy.in_texts([secret, "other"], {"one": f"a {secret} b", "two": "nothing"})
    assert found == (["one"], 2)


def test_files_are_searched_as_bytes_at_every_depth(tmp_path: Path, secret: str) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "data.bin").write_bytes(b"\xff\x00" + secret.encode() + b"\x00")
    (tmp_path / "clean.log").write_text("nothing")
    assert secrecy.in_files([secret], tmp_path) == (["deep/er/data.bin"], 2)


def test_the_folder_of_secrets_is_left_out(tmp_path: Path, secret: str) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text(secret)
    (tmp_path / "secrets-of-others").write_text(secret)
    assert secrecy.in_files([secret], tmp_path, except_in=[tmp_path / "secrets"]).places == ["secrets-of-others"]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are searched through /proc")
def test_processes_are_searched(leaking_child: int, secret: str) -> None:
    found = secrecy.in_processes([secret], os.getpid())
    assert [place for place in found.places if str(leaking_child) in place]
    assert found.looked_at >= 1
    assert secret not in str(found)
