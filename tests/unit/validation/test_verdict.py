"""Verdicts and their encoded replies."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from maas_api.keys import policy
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
    groups=st.lists(st.from_regex(r"[a-zA-Z0-9:._-]{1,60}", fullmatch=True), max_size=80).map(tuple),
)
def test_a_reply_is_valid_json_below_900_bytes_and_says_what_it_left_out(
    name: str, username: str, groups: tuple[str, ...]
) -> None:
    name, username = (text.encode("utf-8", "replace").decode() for text in (name, username))
    made = accepted(key_name=name, username=username, groups=groups)
    reply = json.loads(made.body)
    assert len(made.body) < 900
    assert made.groups == groups
    cut = reply.get("truncated", [])
    assert tuple(reply.get("groups", [])) == groups[: len(reply.get("groups", []))]
    assert (reply.get("groups", []) == list(groups)) == ("groups" not in cut)
    assert (reply["keyName"] == name) == ("keyName" not in cut)


def test_an_allow_list_is_never_cut() -> None:
    models = policy.models([f"model-{number}" for number in range(30)])
    reply = json.loads(accepted(models=models, key_name="é" * 128, groups=("g" * 60,) * 40).body)
    assert reply["models"] == list(models)
