"""What the gateway's filter tells the authorizer, and the sentence behind each doubt."""

from __future__ import annotations

from importlib import resources

import pytest

from maas_api.access.named import DOUBTS, Named, read, required
from maas_api.errors import ApiError


def told(**headers: str | bytes) -> Named:
    lines = {name.replace("_", "-"): value for name, value in headers.items()}
    return read({name.encode(): value if isinstance(value, bytes) else value.encode() for name, value in lines.items()})


def test_names_come_back_as_they_stood_in_the_body() -> None:
    found = told(x_gateway_model_name="modèle/x", x_maas_body="nested=a%2Cb,c%25;tools=function,x%20y")
    assert found == Named("modèle/x", ("a,b", "c%"), ("function", "x y"))
    assert required(found) is found


def test_a_name_that_is_not_utf8_is_no_name() -> None:
    assert told(x_gateway_model_name=b"\xff").doubt == "model-name"


@pytest.mark.parametrize("doubt", [*sorted(DOUBTS), "one-that-nobody-knows"])
def test_every_doubt_is_refused_with_a_sentence_an_sdk_shows(doubt: str) -> None:
    with pytest.raises(ApiError) as refusal:
        required(told(x_gateway_model_name="m", x_maas_body=f"doubt={doubt}"))
    assert refusal.value.status in (400, 415)
    error = refusal.value.body["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", "model")
    assert doubt in error["message"]


def test_no_header_at_all_is_a_doubt_too() -> None:
    with pytest.raises(ApiError, match="no-model"):
        required(told())


def test_the_filter_tells_no_doubt_that_has_no_sentence() -> None:
    code = resources.files("maas_api.gateway.envoy").joinpath("model_name.lua").read_text("utf-8")
    assert all(f'"{doubt}"' in code for doubt in DOUBTS)


@pytest.mark.parametrize(
    ("tools", "running"),
    [
        (("function", "custom", ""), ()),
        (("web_search_20250305", "bash_20250124", "web_search_preview_2025_03_11"), ("web_search_preview_2025_03_11",)),
        (("advisor_20260301",), ("advisor_20260301",)),
        (("image_generation", "function"), ("image_generation",)),
    ],
)
def test_a_tool_that_may_run_a_model_is_told_from_one_that_does_not(
    tools: tuple[str, ...], running: tuple[str, ...]
) -> None:
    assert Named(tools=tools).running_tools == running
