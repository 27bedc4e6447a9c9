"""A form becomes the body that the API would have been sent."""

from __future__ import annotations

import pytest

from maas_api.keys.policy import PolicyError
from maas_api.page.forms import Form, mint_body, page_number, search_body


def form(**fields: str | list[str]) -> Form:
    return Form({name: [value] if isinstance(value, str) else value for name, value in fields.items()})


def test_an_empty_form_asks_for_nothing_but_a_name() -> None:
    empty = form(
        name=" mine ", description="", life="", unit="days", scope="all", patterns="", labels="", budget_day=""
    )
    assert mint_body(empty) == {"name": "mine"}


def test_every_field_is_handed_on() -> None:
    body = mint_body(
        form(
            name="n",
            description="d",
            subscription="s",
            life="12",
            unit="hours",
            scope="some",
            model=["a", "b"],
            patterns="c*\r\n\r\n d \n",
            labels="team=search\nx = y=z",
            budget_hour="1",
            budget_total="9",
            cost="25.50",
            currency="USD",
            cost_per="month",
        )
    )
    assert body == {
        "name": "n",
        "description": "d",
        "subscription": "s",
        "expiresIn": "12h",
        "models": ["a", "b", "c*", "d"],
        "labels": {"team": "search", "x": "y=z"},
        "budget": [
            {"tokens": 1, "per": "hour"},
            {"tokens": 9, "per": "total"},
            {"cost": "25.50", "currency": "USD", "per": "month"},
        ],
    }


def test_ticked_models_count_only_where_only_these_are_meant() -> None:
    assert "models" not in mint_body(form(name="n", scope="all", model=["a"], patterns="b"))
    assert mint_body(form(name="n", scope="some"))["models"] == []


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"life": "-1", "unit": "days"}, "Expires after: must be a whole number, got '-1'"),
        ({"life": "1", "unit": "weeks"}, "must be in hours or days"),
        ({"budget_day": "1e9"}, "Budget, day: must be a whole number"),
        ({"labels": "team"}, "Labels: must be one key=value a line, got 'team'"),
    ],
    ids=str,
)
def test_what_is_no_body_is_refused_naming_the_field(fields: dict[str, str], rule: str) -> None:
    with pytest.raises(PolicyError, match=rule):
        mint_body(form(name="n", **fields))


def test_a_search_is_the_api_s() -> None:
    assert search_body(form(q="x", status="active", page="3"), "alice") == {
        "filters": {"includeEphemeral": True, "username": "alice", "nameContains": "x", "status": ["active"]},
        "pagination": {"limit": 25, "offset": 50},
    }
    assert "username" not in search_body(form(), "")["filters"]


@pytest.mark.parametrize(
    ("text", "number"), [("", 1), ("0", 1), ("-4", 1), ("x", 1), ("7", 7), ("999999", 10_000), ("9" * 99, 1)]
)
def test_a_page_s_number_is_one(text: str, number: int) -> None:
    assert page_number(form(page=text)) == number
