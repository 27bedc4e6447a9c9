"""Every provider's usage object becomes the same numbers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_api.usage.dialects import FIELDS, Tokens, read

CASES: list[tuple[str, dict[str, Any], Tokens | None]] = [
    (
        "chat",
        {
            "prompt_tokens": 2006,
            "completion_tokens": 300,
            "total_tokens": 2306,
            "prompt_tokens_details": {"cached_tokens": 1920, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 200, "accepted_prediction_tokens": 0},
        },
        Tokens(2006, 300, cached=1920, reasoning=200),
    ),
    ("vllm's chat", {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": None}, Tokens(7, 3)),
    ("embeddings", {"prompt_tokens": 8, "total_tokens": 8}, Tokens(8, 0)),
    (
        "responses",
        {
            "input_tokens": 328,
            "input_tokens_details": {"cached_tokens": 128},
            "output_tokens": 52,
            "output_tokens_details": {"reasoning_tokens": 40},
            "total_tokens": 380,
        },
        Tokens(328, 52, cached=128, reasoning=40),
    ),
    (
        "messages, where the cache stands beside the input",
        {
            "input_tokens": 50,
            "cache_read_input_tokens": 100_000,
            "cache_creation_input_tokens": 248,
            "output_tokens": 503,
        },
        Tokens(100_298, 503, cached=100_000, written=248),
    ),
    ("messages without a cache", {"input_tokens": 25, "output_tokens": 15}, Tokens(25, 15)),
    ("messages with nulls", {"input_tokens": 25, "cache_read_input_tokens": None, "output_tokens": 15}, Tokens(25, 15)),
    (
        "deepseek",
        {"prompt_tokens": 90, "completion_tokens": 1, "prompt_cache_hit_tokens": 64},
        Tokens(90, 1, cached=64),
    ),
    ("nothing", {}, None),
    ("nothing that counts", {"prompt_tokens": None, "cost": 0.01}, None),
    ("zeros are told, not missing", {"prompt_tokens": 0, "completion_tokens": 0}, Tokens(0, 0)),
]


@pytest.mark.parametrize(("usage", "tokens"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_usage_object_is_read_in_its_dialect(usage: dict[str, Any], tokens: Tokens | None) -> None:
    assert read(usage) == tokens


@pytest.mark.parametrize("text", ["12", "12.0", "1.2e1", 12, 12.0])
def test_numbers_may_be_written_as_an_access_log_does(text: Any) -> None:
    assert read({"prompt_tokens": text}) == Tokens(12, 0)


@pytest.mark.parametrize("value", ["-", "", "many", "nan", "inf", "-3", -3, True, 1.5, 10**13, "1" * 5000, [], {}])
def test_what_is_no_count_counts_as_missing(value: Any) -> None:
    assert read({"prompt_tokens": value}) is None


@given(st.dictionaries(st.sampled_from(FIELDS), st.integers(-5, 10**7) | st.none() | st.sampled_from(["", "7", "-"])))
def test_a_part_is_never_more_than_the_whole(usage: dict[str, Any]) -> None:
    found = read(usage)
    if found is not None:
        assert found.cached + found.written <= found.input
        assert found.reasoning <= found.output
        assert min(found) >= 0
