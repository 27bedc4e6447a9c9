"""What the stack writes is private, what its children inherit harmless, what a failure leaves behind no secret."""

from __future__ import annotations

import secrets
import shutil
import stat
from pathlib import Path

import pytest

from maas_api.demo import secrecy
from maas_api.demo.process import StartError, accepts, check_port
from maas_api.demo.simulators.server import Simulator, Whole
from maas_api.demo.stack import Stack


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack whose service cannot start: everything before it has been written by then."""
    monkeypatch.setattr("sys.executable", shutil.which("false"))
    monkeypatch.setenv("OPENAI_API_KEY", secrets.token_urlsafe(12))
    monkeypatch.setenv("TENANT_NAME", "somebody-elses")
    stack = Stack(tmp_path / "demo")
    with stack, pytest.raises(StartError, match="maas-api serve ended with exit code 1"):
        stack.start(lambda _: None)
    return stack


def test_a_failed_start_stops_what_had_started(broken: Stack) -> None:
    assert len(broken.simulators) == 3
    assert not any(accepts(simulator.port) for simulator in broken.simulators.values())
    assert not broken.service.running


def test_secret_files_are_for_the_owner_alone(broken: Stack) -> None:
    files = list(broken.secrets.iterdir())
    assert {file.name for file in files} == {"internal", "tokens.yaml"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE(broken.folder.stat().st_mode) == 0o700


def test_the_logs_that_are_kept_hold_no_secret(broken: Stack) -> None:
    held = [broken.user.token, *broken.keys.values()]
    assert secrecy.in_files(held, broken.folder).places == ["secrets/tokens.yaml"]
    broken.keep_logs()
    assert secrecy.in_files(held, broken.folder).places == []
    assert broken.service.log.is_file()
    broken.discard()
    assert not broken.folder.exists()


def test_children_inherit_no_key_and_no_option_of_the_service(broken: Stack) -> None:
    inherited = set(broken.service.environment)
    assert "PATH" in inherited
    assert not {"OPENAI_API_KEY", "TENANT_NAME"} & inherited


def test_a_port_in_use_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with Simulator("somebody", lambda _: Whole(200, {})) as somebody:
        stack = Stack(tmp_path / "demo", port=somebody.port)
        with stack, pytest.raises(StartError, match=f"port {somebody.port} is in use already"):
            stack.start(lambda _: None)
    assert not (tmp_path / "demo").exists()


def test_a_port_that_this_user_may_not_have_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("socket.socket.bind", refused)
    with pytest.raises(StartError) as fault:
        check_port(80)
    assert str(fault.value) == "cannot listen on port 80: Permission denied: this user may not, choose one from 1024 on"
