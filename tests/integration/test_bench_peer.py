"""``make bench ARGS="--peer PATH"`` builds the Go service of a checkout and asks it beside ours.

The service itself cannot be had here; a stand-in with its layout, its environment and its routes is built instead.
"""

from __future__ import annotations

import http.client
import shutil
from pathlib import Path

import pytest

from bench import peer, sides
from bench.load import Load
from bench.machine import cpu
from bench.services import Running
from tests.support.process import ROOT

CHECKOUT = ROOT / "tests" / "peer"
needs_go = pytest.mark.skipif(shutil.which("go") is None, reason="there is no go to build it with")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return peer.build(CHECKOUT, tmp_path_factory.mktemp("built"))


@needs_go
def test_it_is_built_from_the_repository_or_from_the_module_and_answers_every_question_that_is_asked(
    program: Path, tmp_path: Path
) -> None:
    assert peer.build(CHECKOUT / "maas-api", tmp_path).is_file()
    config = tmp_path / "kubeconfig"
    config.write_text("{}")
    with peer.serving(program, config) as running:
        client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
        for method, path, status in (
            ("GET", "/v1/models", 200),
            ("POST", "/v1/api-keys", 201),
            ("POST", "/internal/v1/api-keys/validate", 200),
            ("GET", "/elsewhere", 404),
        ):
            client.request(method, path)
            answer = client.getresponse()
            answer.read()
            assert answer.status == status
        client.close()
        assert running.cpu >= 0
        pid = running.master
    with pytest.raises(FileNotFoundError):
        cpu(pid)


@needs_go
def test_one_that_does_not_start_is_no_row_of_zeros(program: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="did not become ready"), peer.serving(program, tmp_path / "no such file"):
        pass


@needs_go
def test_what_the_compiler_says_is_passed_on(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(CHECKOUT, checkout)
    (checkout / "maas-api" / "cmd" / "main.go").write_text("package main\nfunc main() { undefined() }\n")
    with pytest.raises(SystemExit, match=r"go build in .*maas-api failed:\n(?s:.*)undefined: undefined"):
        peer.build(checkout, tmp_path)


def test_a_folder_that_is_no_checkout_and_a_machine_without_go_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: "/usr/bin/go")
    with pytest.raises(SystemExit, match=r"holds no go\.mod"):
        peer.build(tmp_path, tmp_path)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    with pytest.raises(SystemExit, match="there is no go here"):
        peer.build(CHECKOUT, tmp_path)


def test_sides_take_turns_and_each_row_says_how_ours_compares(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    def ask(running: Running, _asked: sides.Asked) -> Load:
        asked.append(running.scheme)
        return Load(1_000.0, 0.001, 0.004 if running.scheme == "peer" else 0.001, 0, 10)

    class Fixed(Running):
        @property
        def cpu(self) -> float:
            return len(asked) * (0.02 if self.scheme == "peer" else 0.01)

    row = sides.Row("a question", ask, (sides.OURS, sides.BEFORE, sides.PEER))
    known = {name: Fixed(1, 1, name) for name in (sides.OURS, sides.PEER)}
    found = sides.measured([row], known, sides.Asked(Path(), Path(), 1.0), rounds=3)
    sides._print(found)
    assert asked == ["ours", "peer"] * 4, "three rounds, and one that warms up"
    assert [len(costs) for costs in found["a question"].values()] == [3, 3]
    ours = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("a question"))
    assert "peer 0.50, 0.25" in ours
