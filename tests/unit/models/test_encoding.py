"""An entry tells clients what they size their requests by, in the words that each of them reads."""

from __future__ import annotations

import json

import pytest

from maas_api.models.encoding import anthropic, model_info, openai, tokens
from maas_api.models.model import Details
from maas_api.providers import ENDPOINTS
from tests.support.callables import external, local, reference

KNOWN = Details(context_window="128k", max_output_tokens="16384", capabilities=("vision", "Tool-Use"))


def test_limits_are_whole_numbers_in_every_clients_words() -> None:
    shape = json.loads(openai(external("m", details=KNOWN)))
    told = {name: shape[name] for name in ("context_length", "max_model_len", "max_input_tokens", "max_output_tokens")}
    assert told == {
        "context_length": 128_000,
        "max_model_len": 128_000,
        "max_input_tokens": 128_000,
        "max_output_tokens": 16_384,
    }
    assert shape["modelDetails"]["contextWindow"] == "128k", "the platform's own words stay"


def test_an_input_may_be_bounded_below_the_context() -> None:
    shape = json.loads(openai(external("m", details=KNOWN._replace(max_input_tokens="100k"))))
    assert (shape["context_length"], shape["max_input_tokens"]) == (128_000, 100_000)


@pytest.mark.parametrize("window", ["", "large", "-1", "1.5k", "k"])
def test_what_is_not_known_is_not_told(window: str) -> None:
    assert tokens(window) is None
    shape = json.loads(openai(external("m", details=Details(context_window=window))))
    assert not {"context_length", "max_model_len", "max_input_tokens", "max_output_tokens"} & shape.keys()


def test_an_outside_model_that_is_not_ready_says_why() -> None:
    shape = json.loads(openai(external("m", ready=False, unready="no route")))
    assert (shape["ready"], shape["reason"]) == (False, "no route")
    assert "reason" not in json.loads(openai(local("m", "m", ready=False, unready="the cluster's own words")))


def test_an_endpoint_is_told_where_the_model_speaks_it() -> None:
    def told(entry: object) -> object:
        return json.loads(openai(entry)).get("supported_endpoints")  # type: ignore[arg-type]  # any of the three

    assert told(external("claude", "anthropic")) == [
        "/v1/chat/completions",
        "/v1/messages",
        "/v1/messages/count_tokens",
    ]
    assert told(local("opt", "opt")) == [f"/v1/{name}" for name in ENDPOINTS]
    assert told(reference("ref", "ref")) is None, "it has no way at the root"


def test_anthropic_calls_the_longest_answer_max_tokens() -> None:
    shape = json.loads(anthropic(external("m", "anthropic", details=KNOWN)))
    assert (shape["max_input_tokens"], shape["max_tokens"]) == (128_000, 16_384)
    nothing = json.loads(anthropic(external("m", "anthropic")))
    assert (nothing["max_input_tokens"], nothing["max_tokens"]) == (None, None)


def test_litellm_is_told_the_name_to_call_and_what_the_model_can() -> None:
    shape = json.loads(model_info(external("ours", details=KNOWN, target="theirs")))
    assert (shape["model_name"], shape["litellm_params"]) == ("theirs", {"model": "theirs"})
    info = shape["model_info"]
    assert (info["max_tokens"], info["max_input_tokens"], info["max_output_tokens"]) == (16_384, 128_000, 16_384)
    assert info["supports_vision"] is True
    assert info["supports_function_calling"] is True
    assert "supports_reasoning" not in info
