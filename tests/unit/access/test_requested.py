"""Which model a request runs: said plainly, or refused."""

from __future__ import annotations

import json

import pytest

from maas_api.access.requested import JUDGED_BODY_BYTES, NotJudgeable, requested_model
from maas_api.providers import PROVIDERS

CHAT = "v1/chat/completions"


def judge(
    body: bytes, *, path: str = CHAT, method: str = "POST", provider: str = "openai", partial: bool = False
) -> str:
    return requested_model(PROVIDERS[provider], method, path, body, partial=partial)


def test_the_body_names_the_model() -> None:
    assert judge(b'{"model":"gpt-4o","messages":[]}') == "gpt-4o"
    assert judge(b'{"model":"claude"}', path="v1/messages", provider="anthropic") == "claude"


def test_the_path_names_the_model_where_the_provider_has_it_there() -> None:
    assert judge(b"", path="openai/deployments/my-gpt/chat/completions", provider="azure") == "my-gpt"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'"gpt-4o"',
        b"{}",
        b'{"model":""}',
        b'{"model":null}',
        b'{"model":["gpt-4o"]}',
        b'{"model":7}',
        b'{"model":"a","model":"b"}',
        b'{"model":"a","mod\\u0065l":"b"}',
        b'{"model":"a","x":{"y":1,"y":2}}',
        b'{"model":"a"',
        b'{"model":"a"}{"model":"b"}',
        b"\x1f\x8b\x08gzip",
        b"--boundary\r\nContent-Disposition: form-data",
        b"[" * 10_000,
    ],
)
def test_a_body_that_can_be_read_in_two_ways_or_none_is_refused(body: bytes) -> None:
    with pytest.raises(NotJudgeable) as caught:
        judge(body)
    assert not caught.value.too_large


@pytest.mark.parametrize("body", [b"[" * 100_000, b"{" + b'"":0,' * 20_000 + b'"model":"a"}'], ids=["depth", "pairs"])
def test_a_body_that_would_take_long_to_parse_is_not_parsed(body: bytes) -> None:
    with pytest.raises(NotJudgeable, match="20000 strings and punctuation marks") as caught:
        judge(body)
    assert caught.value.too_large


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "v1/batches"),
        ("POST", "v1/files"),
        ("POST", "v1/fine_tuning/jobs"),
        ("POST", "v1/chat/completions/"),
        ("POST", "v1/Chat/completions"),
        ("POST", ""),
        ("GET", "v1/chat/completions"),
        ("GET", "v1/models"),
        ("DELETE", "v1/models/ft:x"),
    ],
)
def test_elsewhere_a_request_may_use_models_it_does_not_name(method: str, path: str) -> None:
    with pytest.raises(NotJudgeable, match="may use only POST /external/openai/v1/chat/completions"):
        judge(b'{"model":"gpt-4o"}', method=method, path=path)


@pytest.mark.parametrize("path", ["openai/deployments/a/b/chat/completions", "openai/deployments//chat/completions"])
def test_a_deployment_is_one_segment_of_the_path(path: str) -> None:
    with pytest.raises(NotJudgeable):
        judge(b"", path=path, provider="azure")


def test_the_beginning_of_a_body_is_not_judged() -> None:
    whole = json.dumps({"model": "gpt-4o", "pad": ""}).encode()
    full = whole[:-2] + b"x" * (JUDGED_BODY_BYTES - len(whole)) + b'"}'
    assert len(full) == JUDGED_BODY_BYTES
    for body, partial in ((whole, True), (full, False)):
        with pytest.raises(NotJudgeable, match="too large") as caught:
            judge(body, partial=partial)
        assert caught.value.too_large
    assert judge(full.replace(b"xx", b"x", 1)) == "gpt-4o"


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"gpt-4o-mini","Model":"gpt-4o"}',
        b'{"MODEL":"gpt-4o","model":"gpt-4o-mini"}',
        '{"model":"gpt-4o-mini"}'.encode("utf-16"),
        b'\xef\xbb\xbf{"model":"gpt-4o-mini"}',
    ],
)
def test_what_another_parser_may_read_otherwise_is_not_judged(body: bytes) -> None:
    """Go's takes names whatever their case; UTF-16 and byte order marks are read by some and not by others."""
    with pytest.raises(NotJudgeable):
        requested_model(PROVIDERS["openai"], "POST", CHAT, body, partial=False)


def test_a_tools_own_schema_may_name_a_field_as_it_likes() -> None:
    body = b'{"model":"gpt-4o-mini","tools":[{"parameters":{"properties":{"Model":{"type":"string"}}}}]}'
    assert requested_model(PROVIDERS["openai"], "POST", CHAT, body, partial=False) == "gpt-4o-mini"


@pytest.mark.parametrize("field", ["models", "fallbacks"])
def test_a_request_that_names_further_models_is_not_judged(field: str) -> None:
    """Routers behind an OpenAI-compatible address run those when the first one fails, or is made to."""
    body = json.dumps({"model": "gpt-4o-mini", field: ["gpt-4o"]}).encode()
    with pytest.raises(NotJudgeable, match=field):
        requested_model(PROVIDERS["vllm"], "POST", CHAT, body, partial=False)
