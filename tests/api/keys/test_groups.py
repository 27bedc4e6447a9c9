"""Groups of a caller's with names that are no identifiers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.api.keys.conftest import Api

CARRIED = ["/team-a", "Domain Users", "system:authenticated", "CN=ops|eu {x}", "Équipe"]


def test_names_that_every_gateway_can_carry_go_into_the_key(api: Api) -> None:
    answer = api.call("POST", "/v1/api-keys", {"name": "n"}, groups=json.dumps(CARRIED))
    assert answer.status_code == 201, answer.text
    assert "warnings" not in answer.json()
    assert api.validate(answer.json()["key"])["groups"] == CARRIED


@pytest.mark.parametrize(
    "odd", ['a"b', "back\\slash", "ops,admins", "line\nbreak", "nul\0", "right\u202eleft", "\ud800"]
)
def test_a_name_that_could_become_another_is_left_out_and_named(api: Api, odd: str) -> None:
    answer = api.call("POST", "/v1/api-keys", {"name": "n"}, groups=json.dumps(["team", odd]))
    assert answer.status_code == 201, answer.text
    (warning,) = answer.json()["warnings"]
    assert warning.startswith(f"groups: {odd!r} is left out")
    assert api.validate(answer.json()["key"])["groups"] == ["team"]


def test_a_caller_with_no_other_group_is_told_why_there_is_no_key(api: Api) -> None:
    answer = api.call("POST", "/v1/api-keys", {"name": "n"}, groups='["a,b"]')
    assert answer.status_code == 400
    assert "without quotes" in answer.json()["error"]
    assert "a,b" in answer.json()["error"]
