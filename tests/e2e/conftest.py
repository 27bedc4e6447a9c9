"""One running demo stack for all end-to-end tests: simulators, the service under gunicorn, a real Envoy.

The tests are one xdist group, so that they share it in one worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maas_api.demo.checks import Session
from maas_api.demo.stack import Stack


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put this folder's tests into one group."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.xdist_group("demo"))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The demo, running."""
    with Stack(tmp_path_factory.mktemp("demo")) as running:
        running.start(lambda _: None)
        yield running


@pytest.fixture(scope="session")
def session(stack: Stack) -> Session:
    """The demo's session with one minted key."""
    made = Session(stack, [])
    made.mint("end to end")
    return made


@pytest.fixture(scope="session")
def key(session: Session) -> str:
    """A MaaS key that works."""
    return session.key


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any]], float]:
    """Wait for a condition; gives the seconds it took, fails after ten."""

    def wait(condition: Callable[[], Any]) -> float:
        begun = time.monotonic()
        while not condition():
            assert time.monotonic() - begun < 10, "the condition did not come true"
            time.sleep(0.01)
        return time.monotonic() - begun

    return wait
