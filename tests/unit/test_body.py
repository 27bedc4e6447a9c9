"""A body that is made to be slow is told by its looks, before it is parsed."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_api.body import MARKS_AT_MOST, BodyError, decode, marks_beyond

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def marks(value: object) -> int:
    """Strings, commas, colons and opening brackets of a value as JSON."""
    if isinstance(value, str):
        return 1
    if isinstance(value, list):
        return 1 + max(0, len(value) - 1) + sum(map(marks, value))
    if isinstance(value, dict):
        return 1 + 2 * len(value) + max(0, len(value) - 1) + sum(map(marks, value.values()))
    return 0


@given(VALUES)
def test_marks_inside_strings_do_not_count(value: object) -> None:
    found, text = marks(value), json.dumps(value).encode()
    assert not marks_beyond(text, found)
    if found:
        assert marks_beyond(text, found - 1)


@pytest.mark.parametrize(
    "body",
    [
        b"{" + b'"":0,' * 200_000,
        b"[" * 1_000_000,
        b'"\\"' * 300_000,
        b'"' + b'\\"' * 500_000,
        b'"a' * 500_000,
        b'"' + b"\\" * 999_999,
        b" " * 1_000_000,
        b"\n" * 1_000_000,
    ],
    ids=["pairs", "depth", "quotes", "escaped quotes", "open strings", "backslashes", "spaces", "lines"],
)
def test_a_megabyte_of_anything_is_told_in_no_time(body: bytes) -> None:
    begun = time.process_time()
    marks_beyond(body, MARKS_AT_MOST)
    assert time.process_time() - begun < 0.1, "linear, and stops at the limit"


def test_a_body_of_too_many_is_refused_naming_the_bound() -> None:
    with pytest.raises(BodyError, match=f"more than {MARKS_AT_MOST} strings"):
        decode(b"{" + b'"":0,' * 2000 + b'"name":"x"}')
