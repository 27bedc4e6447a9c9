"""A short campaign of ``make fuzz``, and parsers that must not fall over whatever they are fed."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from maas_api.errors import ApiError
from maas_api.identity import headers
from maas_api.keys.format import hash_key
from maas_api.observability import requests
from tests.fuzz.campaign import once
from tests.support.process import running


def test_the_running_service_answers_every_generated_request_as_declared(tmp_path: Path) -> None:
    with running(tmp_path, "--workers", "1") as service:
        strangers = once(service, tmp_path, "strangers", 3, 1, "coverage,fuzzing")
        user = once(service, tmp_path, "a user", 8, 2, "fuzzing,stateful")
    assert strangers.passed, strangers.text
    assert user.passed, user.text
    assert strangers.cases + user.cases > 500


@given(st.lists(st.text()), st.lists(st.text() | st.from_regex(r"\A\[.*\]\Z")))
def test_identity_headers_give_an_identity_or_a_401(usernames: list[str], groups: list[str]) -> None:
    refused: ApiError | None = None
    try:
        found = headers.parse(usernames, groups)
    except ApiError as fault:
        refused = fault
    if refused is not None:
        assert refused.status == 401
        assert refused.body["refId"] in ("001", "002", "003")
    else:
        assert found.username == usernames[0].strip(headers.SPACE) != ""
        assert found.groups
        assert all(name == name.strip(headers.SPACE) != "" for name in found.groups)


@given(st.lists(st.text()))
def test_the_subscription_is_one_of_the_values_sent_or_nothing(values: list[str]) -> None:
    assert headers.last_subscription(values) in {part.strip() for value in values for part in value.split(",")} | {""}


@given(st.text() | st.from_regex(r"\Ask-oai-[0-9A-Za-z_]*\Z"))
def test_a_key_is_hashed_or_malformed(key: str) -> None:
    found = hash_key(key)
    assert found is None or (len(found) == 64 and key.startswith("sk-oai-"))


@given(st.binary(), st.binary())
def test_request_and_trace_ids_are_always_fit_for_a_header(request_id: bytes, parent: bytes) -> None:
    sent = [(b"x-request-id", request_id), (b"traceparent", parent)]
    assert requests.request_id(sent).decode("ascii").isprintable()
    assert len(requests.trace_id(sent)) in (0, 32)
