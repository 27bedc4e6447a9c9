"""A record of the access log, read into what is counted."""

from __future__ import annotations

from typing import Any

import pytest

from maas_api.usage.record import Counts, Series, endpoint_of, measure
from maas_api.usage.rollup import fold
from tests.support.otlp import batch, call

NOW = 1_800_000_000.0


def counts(**said: Any) -> Counts:
    found = measure(call(**said))
    assert found is not None
    return found.counts


def test_a_good_call_is_counted_with_everything_that_is_said_of_it() -> None:
    found = measure(call(usage={"prompt_tokens": "10", "completion_tokens": "5"}))
    assert found is not None
    assert found.series == Series("key-1", "ann", "gold", "gpt-4o-mini", "openai", "chat")
    assert found.counts == Counts(requests=1, input=10, output=5, duration_ms=900, first_event_ms=300, first_events=1)


def test_a_stream_without_usage_is_unmetered_and_not_zero() -> None:
    assert counts(usage={}).unmetered == 1
    assert counts().unmetered == 0


def test_a_failed_call_is_an_error_and_nothing_is_missing_of_it() -> None:
    found = counts(status=500, usage={})
    assert (found.errors, found.unmetered, found.interrupted) == (1, 0, 0)


@pytest.mark.parametrize("said", [{"status": 0}, {"flags": "DC"}, {"flags": "UC,UR"}])
def test_a_call_that_was_cut_is_interrupted_and_its_tokens_are_unknown_unless_told(said: dict[str, Any]) -> None:
    found = counts(usage={}, **said)
    assert (found.interrupted, found.errors, found.unmetered) == (1, 0, 1)
    told = counts(usage={"input_tokens": 9, "output_tokens": 1}, **said)
    assert (told.interrupted, told.unmetered, told.input) == (1, 0, 9)


def test_a_call_without_an_owner_is_nobody_s() -> None:
    assert measure(call(key_id=None, user=None)) is None
    assert measure(call(key_id="-", user="")) is None
    assert measure(call(key_id=None)) is not None


PATHS = [
    ("/external/openai/v1/chat/completions", "chat"),
    ("/llm/opt-125m/v1/completions", "completions"),
    ("/v1/responses", "responses"),
    ("/openai/deployments/gpt/embeddings?api-version=2024-10-21", "embeddings"),
    ("/v1/messages?beta=true", "messages"),
    ("/v1/messages/count_tokens", "other"),
    ("/v1/messages/batches", "other"),
    ("/v1/models", "other"),
    ("/v1/files?x=/v1/messages", "other"),
    ("/v1/chat/completions\n", "other"),
    ("", "other"),
]


@pytest.mark.parametrize(("path", "endpoint"), PATHS)
def test_the_endpoint_is_told_by_the_path_s_last_words(path: str, endpoint: str) -> None:
    assert endpoint_of(path) == endpoint


def test_what_needs_no_tokens_is_not_unmetered() -> None:
    assert counts(path="/v1/messages/count_tokens", usage={}).unmetered == 0


def test_hostile_text_becomes_one_line_that_any_store_holds() -> None:
    found = measure(call(model="a\0b\n" + "x" * 999))
    assert found is not None
    assert found.series.model.startswith("a\ufffdb\ufffdx")
    assert len(found.series.model) == 253


def entries(*moments: float) -> list[Any]:
    return [(int(at * 1e9), call()) for at in moments]


def test_a_batch_becomes_one_row_for_an_hour_of_a_series() -> None:
    hour = NOW - NOW % 3600
    folded = fold(entries(hour + 1, hour + 2, hour - 1), b"bytes", hour + 3)
    assert {at: counts.requests for (at, _series), counts in folded.rows.items()} == {hour: 2, hour - 3600: 1}
    assert (folded.counted, folded.skipped) == (3, 0)


@pytest.mark.parametrize("wrong", [0, NOW - 86_401, NOW + 301, 1])
def test_a_time_that_cannot_be_is_replaced_by_ours(wrong: float) -> None:
    (place,) = fold(entries(wrong), b"", NOW).rows
    assert place[0] == NOW - NOW % 3600


def test_only_a_batch_whose_records_have_times_is_told_from_another_like_it() -> None:
    assert fold(entries(NOW), b"a", NOW).digest != fold(entries(NOW), b"b", NOW).digest
    assert fold(entries(NOW), b"a", NOW).digest
    assert fold(entries(NOW, 0), b"a", NOW).digest == ""


def test_the_support_s_batches_are_what_they_say() -> None:
    assert batch([call()], at=NOW) == batch([call()], at=NOW)
