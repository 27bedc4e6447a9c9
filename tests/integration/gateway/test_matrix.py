"""Every way to a model, by every kind of caller: the answer that the rule says, and nothing else arrives anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.matrix.rows import CALLERS, Row, rows
from tests.matrix.world import World
from tests.matrix.world import world as running

GATEWAYS = ("native", "istio", "kuadrant")
CELLS = [(gateway, row) for gateway in GATEWAYS for row in rows() if row.at(gateway) is not None]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running(tmp_path_factory.mktemp("matrix")) as made:
        yield made


@pytest.mark.xdist_group("matrix")
@pytest.mark.parametrize(("gateway", "row"), CELLS, ids=[f"{gateway}: {row}" for gateway, row in CELLS])
def test_each_caller_gets_the_expected_answer(world: World, gateway: str, row: Row) -> None:
    found = {}
    for caller in CALLERS:
        before = world.arrived()
        answer = world.ask(gateway, row, caller)
        found[caller] = answer.status_code
        if not answer.is_success:
            assert world.arrived() == before, f"{caller} is refused, and a model's server heard of it"
    assert found == dict(zip(CALLERS, row.at(gateway) or (), strict=True))
