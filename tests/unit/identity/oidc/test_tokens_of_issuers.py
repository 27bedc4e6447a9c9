"""Each token of the table, right, wrong and hostile, through a real issuer over TLS, and the answer to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tokens.cases import CASES, Case
from tests.tokens.world import world


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_token_gets_the_answer_of_the_table(case: Case, tmp_path: Path) -> None:
    with world(tmp_path) as made:
        answer = made.ask(case.make(made))
    assert answer.status == case.status
    if isinstance(case.expected, tuple):
        assert answer.who == case.expected
    else:
        assert case.expected in answer.says


def test_there_are_enough_of_them_and_no_name_is_there_twice() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 40


def test_what_is_told_to_a_stranger_holds_nothing_of_the_token(tmp_path: Path) -> None:
    with world(tmp_path) as made:
        token = made.a.token(aud="my-secret-audience", sub="somebody-else")
        answer = made.ask(token)
    assert answer.status == 401
    for part in ("my-secret-audience", "somebody-else", *token.split(".")):
        assert part not in answer.says
