"""Where a form comes from, what names this machine, what a signature is good for."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maas_api.page import defence
from maas_api.page.signing import Signer, new_key, new_secret

HOST = {"Host": "maas.example:8443"}


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://rewritten.example"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://maas.example:8443"}, False),
        ({"Sec-Fetch-Site": ""}, False),
        ({"Origin": "https://maas.example:8443"}, True),
        ({"Origin": "https://MAAS.example:8443"}, True),
        ({"Origin": "https://maas.example"}, False),
        ({"Origin": "https://maas.example:8443.evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({}, False),
    ],
)
def test_a_form_is_the_page_s_own_or_it_is_not(headers: dict[str, str], *, ours: bool) -> None:
    assert (defence.from_elsewhere(HOST | headers) == "") is ours


def test_an_origin_of_nothing_is_not_a_host_of_nothing() -> None:
    assert defence.from_elsewhere({"Origin": "", "Host": ""})
    assert defence.from_elsewhere({"Origin": "null"})


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost:8080", True),
        ("127.0.0.1", True),
        ("[::1]:8080", True),
        ("LOCALHOST", True),
        ("127.0.0.1.nip.io", False),
        ("evil.example:8080", False),
        ("localhost.evil.example", False),
        ("user@evil.example", False),
        ("", False),
        ("[::1", False),
    ],
)
def test_only_this_machine_s_own_names_name_it(host: str, *, local: bool) -> None:
    assert defence.local_name(host) is local


@settings(deadline=None)
@given(st.text(), st.text())
def test_what_is_signed_for_one_purpose_by_one_installation_is_nothing_elsewhere(text: str, other: str) -> None:
    ours, theirs = Signer(b"k" * 32), Signer(b"j" * 32)
    signed = ours.signed("session", text)
    assert ours.opened("session", signed) == (text or None)
    assert ours.opened("form", signed) is None
    assert theirs.opened("session", signed) is None
    assert ours.opened("session", other) is None
    assert ours.is_tag("session", text, other) is False


def test_secrets_are_long_and_never_twice_the_same() -> None:
    assert len({new_secret() for _ in range(1000)}) == 1000
    assert min(len(new_secret()) for _ in range(100)) >= 43
    assert len(new_key()) == 32
