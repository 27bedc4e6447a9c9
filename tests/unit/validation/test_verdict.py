"""Verdicts and their encoded replies."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from maas_api.validation import verdict

KEY_ID = "00000000-0000-4000-8000-000000000000"


def accepted(**fields: Any) -> verdict.Verdict:
    given_fields: dict[str, Any] = {
        "key_id": KEY_ID,
        "key_name": "n",
        "username": "u",
        "groups": ("g",),
        "subscription": "s",
        "tenant": "t",
        "models": None,
        "expires_at": None,
    }
    return verdict.accepted(**{**given_fields, **fields})


def as_go_encodes(value: object) -> bytes:
    """Go's ``json.Marshal``: no spaces, UTF-8, and these characters escaped whatever the text is for."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text.encode()


def test_the_replies_are_the_go_service_s_byte_for_byte() -> None:
    assert accepted().body == (
        b'{"valid":true,"userId":"' + KEY_ID.encode() + b'","username":"u","keyId":"' + KEY_ID.encode() + b'",'
        b'"keyName":"n","groups":["g"],"subscription":"s","tenant":"t"}'
    )
    assert verdict.NOT_FOUND.body == b'{"valid":false,"tenant":"","reason":"key not found"}'
    assert b"groups" not in accepted(groups=()).body


@given(
    name=st.text(max_size=128),
    username=st.text(min_size=1, max_size=64),
    groups=st.lists(st.text(st.characters(codec="utf-8"), max_size=60), max_size=80).map(tuple),
)
def test_nothing_is_cut_and_what_authorino_will_not_remember_is_known(
    name: str, username: str, groups: tuple[str, ...]
) -> None:
    """A group left out would deny the very user whose subscription it owns."""
    name, username = (text.encode("utf-8", "replace").decode() for text in (name, username))
    made = accepted(key_name=name, username=username, groups=groups)
    reply = json.loads(made.body)
    assert (tuple(reply.get("groups", ())), reply["keyName"], reply["username"]) == (groups, name, username)
    assert made.long == (74 + len(as_go_encodes(reply)) > 1_000)


def test_an_ampersand_counts_as_the_six_bytes_that_go_writes() -> None:
    """At the very edge of the cache: as many letters, but for one."""
    room = 1_000 - 74 - len(accepted(key_name="").body)
    assert not accepted(key_name="a" * room).long
    assert accepted(key_name="a" * (room - 1) + "&").long
    assert not accepted(key_name="a" * (room - 6) + "&").long
