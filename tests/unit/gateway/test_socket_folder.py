"""Envoy's admin socket has a name that fits, wherever temporary files are to go."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from maas_api.gateway.running import EnvoyError, _socket_folder


@pytest.mark.parametrize("letters", [1, 40, 90, 200])
def test_however_long_the_temporary_folder_a_socket_can_be_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, letters: int
) -> None:
    long = tmp_path / ("x" * letters)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    folder = _socket_folder()
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(folder / "admin"))
        assert folder.stat().st_mode & 0o077 == 0
    finally:
        shutil.rmtree(folder)


def test_a_folder_that_cannot_be_made_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    with pytest.raises(EnvoyError, match=r"^no folder for Envoy's socket: /nowhere: No such file or directory"):
        _socket_folder()
