"""Every way to a model, by every kind of caller: the answer that the rule says, and nothing else arrives anywhere."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest

from tests.matrix.rows import CALLERS, CLAUDE, MINI, STAFF_ONLY, Row, rows
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


LISTED = {
    "unlimited": ([MINI, STAFF_ONLY], [CLAUDE]),
    "limited": ([MINI], []),
    "other-group": ([MINI], [CLAUDE]),
    "other-subscription": ([MINI, STAFF_ONLY], [CLAUDE]),
    "token": ([MINI, STAFF_ONLY], [CLAUDE]),
}
"""The caller's models at OpenAI, and at Anthropic."""


@pytest.mark.xdist_group("matrix")
@pytest.mark.parametrize("caller", LISTED)
def test_each_providers_sdk_lists_the_callers_models_of_that_provider(world: World, caller: str) -> None:
    """By the base URL of the provider, as the SDKs are pointed there. None of the operator's account."""
    base = str(world.gateways["native"].base_url).rstrip("/")
    credential = world.credentials[caller]["Authorization"].removeprefix("Bearer ")
    with (
        openai.OpenAI(base_url=f"{base}/external/openai/v1", api_key=credential, max_retries=0) as gpt,
        anthropic.Anthropic(base_url=f"{base}/external/anthropic", auth_token=credential, max_retries=0) as claude,
    ):
        found = sorted(model.id for model in gpt.models.list()), [model.id for model in claude.models.list()]
    assert found == (sorted(LISTED[caller][0]), LISTED[caller][1])
