"""The workers of an instance tell each other, and the teller knows that they have heard."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from maas_api.observability import metrics
from maas_api.validation.siblings import Siblings


class Worker(Siblings):
    """One that notes what it hears."""

    def __init__(self, folder: Path, **more: float) -> None:
        self.heard: list[tuple[str, list[str]]] = []
        super().__init__(folder, {kind: self._noting(kind) for kind in ("changed", "unwritten")}, **more)

    def _noting(self, kind: str):  # type: ignore[no-untyped-def]  # a listener
        def note(key_ids: Sequence[str]) -> None:
            self.heard.append((kind, list(key_ids)))

        return note


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s")  # a socket's path has a hundred characters at most


@pytest.fixture
def workers(folder: Path) -> Iterator[list[Worker]]:
    made = [Worker(folder) for _ in range(3)]
    for worker in made:
        worker.start()
    yield made
    for worker in made:
        worker.stop()
    assert list(folder.iterdir()) == []


def test_each_has_heard_before_the_teller_goes_on(workers: list[Worker]) -> None:
    for number in range(50):
        workers[0].telling("changed")([str(number)])
        assert [worker.heard[-1] for worker in workers] == [("changed", [str(number)])] * 3


def test_news_of_many_keys_is_taken_whole(workers: list[Worker]) -> None:
    many = [f"{number:036}" for number in range(20_000)]
    workers[0].telling("unwritten")(many)
    assert workers[2].heard == [("unwritten", many)]


def test_one_that_was_killed_is_not_waited_for(workers: list[Worker], folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(folder / "1-1.news"))
    begun = time.monotonic()
    workers[0].telling("changed")(["a"])
    assert time.monotonic() - begun < 0.4
    assert workers[1].heard == [("changed", ["a"])]


def test_one_that_does_not_answer_is_waited_for_no_longer_than_promised(folder: Path) -> None:
    before = metrics.siblings_silent.labels().value
    teller = Worker(folder, patience=0.1)
    teller.start()
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(str(folder / "1-1.news"))
        stopped.listen()
        done = threading.Thread(target=teller.telling("changed"), args=(["a"],))
        done.start()
        done.join(5)
        assert not done.is_alive()
    teller.stop()
    assert metrics.siblings_silent.labels().value == before + 1


def test_news_that_cannot_be_read_ends_nothing(workers: list[Worker], folder: Path) -> None:
    own = next(path for path in folder.iterdir())
    with socket.socket(socket.AF_UNIX) as odd:
        odd.connect(str(own))
        odd.sendall(b"{")
        odd.shutdown(socket.SHUT_WR)
        assert odd.recv(1) == b""
    workers[0].telling("changed")(["a"])
    assert [worker.heard for worker in workers] == [[("changed", ["a"])]] * 3


def test_alone_there_is_nobody_to_tell() -> None:
    heard: list[str] = []
    alone = Siblings(None, {"changed": heard.extend})
    alone.start()
    alone.telling("changed")(["a"])
    alone.stop()
    assert heard == ["a"]
