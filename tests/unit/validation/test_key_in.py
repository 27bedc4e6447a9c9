"""The callback's body: what nearly every one looks like is read without a parser, to the same key."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maas_api import body
from maas_api.validation.validation import _ALONE, key_in

KEY = "sk-oai-abcdefghijklmnop_" + "Zz9" * 15


def parsed(raw: bytes) -> str:
    """The key as the parser has it."""
    try:
        key = body.decode(raw).folded(("key",)).get("key")
    except body.BodyError:
        return ""
    return key if isinstance(key, str) else ""


@pytest.mark.parametrize("raw", [json.dumps({"key": KEY}), f'{{"key":"{KEY}"}}', f' {{\n\t"key" : "{KEY}" }}\r\n'])
def test_a_key_alone_needs_no_parser(raw: str) -> None:
    assert _ALONE.fullmatch(raw.encode())
    assert key_in(raw.encode()) == KEY


PARTS = (
    *('"key"', '"KEY"', '"kEy"', '"other"', ":", ",", "{", "}", "[", "]", " ", "\n", '"', '"a"', '"sk-oai-x_y"', '""'),
    *("\\", "\\u0041", '"a\\"b"', "null", "1", "\x00", "\x7f", "é", "\ufeff", '"key":"v"', '{"key":"v"}'),
)


@given(st.lists(st.sampled_from(PARTS), max_size=9).map("".join))
@example('{"key":"a","key":"b"}')
@example('{"key":"a"} trailing')
@example('{"key":"a\x7f"}')
def test_every_body_is_read_as_the_parser_reads_it(text: str) -> None:
    raw = text.encode()
    assert key_in(raw) == parsed(raw)


@given(st.binary(max_size=40))
def test_bytes_of_any_kind_are_read_as_the_parser_reads_them(raw: bytes) -> None:
    for around in (raw, b'{"key":"' + raw + b'"}'):
        assert key_in(around) == parsed(around)
