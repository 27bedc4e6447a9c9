"""A child is awaited, and ends with everything it started, whatever it does about signals."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from maas_api.demo.process import Child, StartError, accepts, descendants, free_port

STUBBORN = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; print('child', flush=True); time.sleep(600)"])
print("pid", child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Child]]:
    made: list[Child] = []

    def build(code: str) -> Child:
        made.append(Child("test program", [sys.executable, "-c", code], tmp_path / "log", dict(os.environ)))
        return made[-1]

    yield build
    for child in made:
        child.stop(grace=0)


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_a_program_that_ends_early_is_reported_with_the_end_of_its_log(make: Callable[..., Child]) -> None:
    child = make("import sys; print('the reason'); sys.exit(3)")
    child.start()
    with pytest.raises(StartError, match=r"(?s)test program ended with exit code 3.*the reason"):
        child.await_ready(lambda: False, 30)


def test_a_program_that_is_not_ready_in_time_is_reported(make: Callable[..., Child]) -> None:
    child = make("import time; time.sleep(600)")
    child.start()
    with pytest.raises(StartError, match=r"test program was not ready within 0\.05 s"):
        child.await_ready(lambda: False, 0.05)
    assert child.running


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads process states from /proc")
def test_stop_ends_the_whole_group_even_if_it_ignores_the_signal(make: Callable[..., Child]) -> None:
    child = make(STUBBORN)
    child.start()
    assert eventually(lambda: "pid" in child.tail() and "child" in child.tail())
    grandchild = int(child.tail().split("pid ")[1].split()[0])
    assert child.pid is not None
    assert grandchild in descendants(child.pid)
    assert grandchild in descendants(os.getpid())
    started = child.pid
    child.stop(grace=0.2)
    assert not child.running
    assert not alive(started)
    assert eventually(lambda: not alive(grandchild))
    child.stop()  # twice is fine


def test_a_stopped_program_can_be_started_again(make: Callable[..., Child]) -> None:
    child = make("import time; print('up', flush=True); time.sleep(600)")
    child.start()
    child.await_ready(lambda: "up" in child.tail(), 30)
    child.stop()
    child.start()
    child.await_ready(lambda: child.tail().count("up") == 2, 30)
    assert child.running


def test_a_free_port_is_free_and_not_one_the_system_would_hand_out() -> None:
    port = free_port()
    assert not accepts(port)
    assert port < 32_768


def test_a_port_somebody_has_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        draws = iter([port - 20_000, port - 20_000, 7_777])
        monkeypatch.setattr("secrets.randbelow", lambda _: next(draws))
        assert free_port() == 27_777
        assert accepts(port)
