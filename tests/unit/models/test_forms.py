"""Bodies in the forms that clients take: who gets which, what it is called, and how much is kept."""

from __future__ import annotations

import os
import zlib

import pytest

from maas_api.models.forms import CODINGS, Body, codings

LONG = b'{"data":[' + b",".join(b'{"id":"model-%d"}' % number for number in range(500)) + b"]}"
BOTH = ("zstd", "gzip")


@pytest.mark.parametrize(
    ("accepted", "taken"),
    [
        ("gzip", ("gzip", "")),
        ("gzip, deflate, br, zstd", ("zstd", "gzip", "")),
        ("GZIP;q=0.8, zstd;q=0.5", ("gzip", "zstd", "")),
        ("*", ("zstd", "gzip", "")),
        ("*;q=0.5, gzip;q=0", ("zstd", "")),
        ("identity, gzip;q=0.5", ("", "gzip")),
        ("identity;q=0, gzip", ("gzip",)),
        ("gzip, *;q=0", ("gzip",)),
        ("", ("",)),
        ("br, deflate", ("",)),
        ("gzip;q=0", ("",)),
        ("gzip;q=nonsense, zstd;q=7", ("",)),
        ("identity;q=0", ("",)),
    ],
)
def test_a_client_gets_what_it_accepts_and_likes_best(accepted: str, taken: tuple[str, ...]) -> None:
    assert codings(accepted, BOTH) == taken


def test_each_form_has_a_validator_of_its_own_and_the_same_in_every_process() -> None:
    tags = [form.etag for form in Body(LONG).forms("gzip")]
    assert len(set(tags)) == 2
    assert tags == [form.etag for form in Body(LONG).forms("gzip")]
    assert tags[1] == Body(LONG).etag


def test_the_bytes_of_a_form_are_the_body() -> None:
    packed = Body(LONG).packed("gzip")
    assert zlib.decompress(packed, 16 + zlib.MAX_WBITS) == LONG
    assert len(packed) < len(LONG) / 4


def test_each_form_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []
    monkeypatch.setitem(CODINGS, "gzip", lambda plain: made.append(plain) or b"packed")  # type: ignore[func-returns-value]
    body = Body(LONG)
    assert {body.packed("gzip") for _ in range(5)} == {b"packed"}
    assert made == [LONG]


def test_what_does_not_shrink_to_half_is_not_kept_so_that_a_view_has_a_known_size() -> None:
    noise = Body(os.urandom(5_000))
    assert noise.packed("gzip") == b""
    assert noise.packed("") == noise.plain


def test_forms_together_take_half_of_the_body_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CODINGS, "one", lambda plain: plain[: len(plain) * 2 // 5])
    monkeypatch.setitem(CODINGS, "two", lambda plain: plain[: len(plain) * 2 // 5])
    body = Body(LONG)
    assert body.packed("one")
    assert body.packed("two") == b""


@pytest.mark.parametrize("accepted", [None, "gzip" + "," * 200])
def test_who_does_not_ask_in_a_few_words_gets_it_as_it_is(accepted: str | None) -> None:
    assert [form.coding for form in Body(LONG).forms(accepted)] == [""]


def test_a_body_that_fits_a_packet_is_not_compressed() -> None:
    assert [form.coding for form in Body(b"x" * 1_000).forms("gzip")] == [""]


def test_zstd_is_preferred_where_python_has_it() -> None:
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]  # from Python 3.14 on
    except ImportError:
        assert list(CODINGS) == ["gzip"]
        return
    assert list(CODINGS) == ["zstd", "gzip"]
    assert zstd.decompress(Body(LONG).packed("zstd")) == LONG
