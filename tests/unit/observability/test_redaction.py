"""What must never be shown is not shown, what is meant to be shown is."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_api.observability import redaction
from maas_api.observability.redaction import Redactor

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


def letters(count: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(count))


def jwt() -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"RS256","typ":"JWT"}').rstrip(b"=").decode()
    body = base64.urlsafe_b64encode(b'{"sub":"system:serviceaccount:a:b"}').rstrip(b"=").decode()
    return f"{head}.{body}.{letters(40)}"


SECRETS = {
    "key": lambda: f"sk-oai-{letters(16)}_{letters(49)}",
    "key without a checksum": lambda: f"sk-oai-{letters(17)}_{letters(43)}",
    "old key": lambda: f"sk-oai-{letters(43)}",
    "key, escaped": lambda: f"sk%2Doai%2D{letters(16)}_{letters(49)}",
    "key, escaped twice": lambda: f"%2573k%252doai%252d{letters(16)}_{letters(49)}",
    "key, its first part in capitals": lambda: f"SK-OAI-{letters(16)}_{letters(49)}",
    "short key": lambda: f"sk-oai-{letters(3)}_{letters(3)}",
    "secret half alone": lambda: letters(43),
    "hash": lambda: hashlib.sha256(os.urandom(8)).hexdigest(),
    "OpenAI key": lambda: f"sk-proj-{letters(20)}T3BlbkFJ{letters(20)}",
    "old OpenAI key": lambda: f"sk-{letters(48)}",
    "Anthropic key": lambda: f"sk-ant-api03-{letters(40)}-{letters(20)}_AA",
    "Google key": lambda: f"AIza{letters(35)}",
    "Groq key": lambda: f"gsk_{letters(40)}",
    "Hugging Face token": lambda: f"hf_{letters(34)}",
    "AWS key id": lambda: f"AKIA{letters(16).upper()}",
    "JSON Web Token": jwt,
    "OpenShift token": lambda: f"sha256~{letters(43)}",
}

SENTENCES = [
    "{}",
    "lookup of {} failed",
    "Authorization: Bearer {}",
    "authorization='Bearer {}'",
    "{{'authorization': 'Bearer {}', 'accept': '*/*'}}",
    "[(b'x-api-key', b'{}'), (b'host', b'x')]",
    '{{"key":"{}"}}',
    "GET /v1/api-keys/{}?x=1 HTTP/1.1",
    "https://host/path?key={}&b=1",
    "{}...",
    "ValueError('bad key {}')",
    "x={}\n",
]


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("sentence", SENTENCES)
def test_no_secret_survives_in_any_surrounding(kind: str, sentence: str) -> None:
    secret = SECRETS[kind]()
    shown = Redactor().text(sentence.format(secret))
    assert secret not in shown
    assert secret[-12:] not in shown
    assert "[redacted]" in shown


def test_the_same_holds_inside_json_written_twice() -> None:
    secret = SECRETS["key"]()
    shown = Redactor().text(json.dumps({"message": json.dumps({"authorization": f"Bearer {secret}"})}))
    assert secret not in shown
    assert json.loads(shown)


def test_opaque_values_go_by_the_name_they_come_under() -> None:
    redactor = Redactor()
    for name in ("authorization", "x-api-key", "api_key", "password", "db_password", "token", "set-cookie", "key_hash"):
        assert redactor.value({name: "abc"}) == {name: "[redacted]"}
    noted = {"auth_headers": {"Authorization": "present", "Cookie": "absent"}}
    assert redactor.value(noted) == noted
    assert redactor.text(json.dumps(noted)) == json.dumps(noted)
    for text in ("password=abc", "Authorization: Basic abc=", "X-API-Key: abc", "x-maas-internal-secret: abc"):
        assert "abc" not in redactor.text(text)
    assert "abcd" not in redactor.text("Bearer abcd")


def test_a_database_password_never_shows() -> None:
    redactor = Redactor()
    scheme = "postgresql://"
    shown = redactor.text(f"cannot reach {scheme}maas:hunter2@db:5432/maas?sslmode=require")
    assert shown == f"cannot reach {scheme}[redacted]@db:5432/maas?sslmode=require"
    assert "p@ss" not in redactor.text(f"cannot reach {scheme}maas:p@ss@db:5432/maas")


def test_a_digest_printed_as_bytes_never_shows() -> None:
    digest = hashlib.sha256(b"x").digest()
    assert repr(digest)[2:-1] not in Redactor().text(f"hash {digest!r}")
    assert repr(digest)[20:40] not in Redactor().text(f"hash {digest!r}")


def test_remembered_values_are_blanked_wherever_they_turn_up() -> None:
    redactor = Redactor()
    redactor.remember("alice-token!", "abc")
    assert redactor.text("got alice-token! and alice-token%21") == "got [redacted] and [redacted]"
    assert redactor.text("abc is too short to be told from a word") == "abc is too short to be told from a word"


@pytest.mark.parametrize(
    "text",
    [
        "request completed",
        "key sk-oai-0aB3dE6gH9jK... revoked",
        "id 0f8fad5b-d9cb-469f-a165-70867728950e",
        "trace 4bf92f3577b34da6a3ce929d0e0e4736 span 00f067aa0ba902b7",
        "commit c0639b1bc0639b1bc0639b1bc0639b1bc0639b1b",
        "GET /external/anthropic/v1/messages",
        "claude-sonnet-4-20250514 and facebook/opt-125m",
        "http://127.0.0.1:8080/v1/models",
        "sha256:aBcDeFgHiJkL",
        "2026-03-15T04:17:00.123Z",
        "task-runner-with-a-long-hyphenated-name-of-many-parts",
    ],
)
def test_what_an_operator_needs_stays(text: str) -> None:
    assert Redactor().text(text) == text


@given(st.text(), st.text())
def test_a_key_is_found_between_any_two_texts(before: str, after: str) -> None:
    secret = "sk-oai-abcdefghijklmnop_" + "Zz9" * 15
    shown = Redactor().text(f"{before}{secret}{after}")
    assert "Zz9" * 15 not in shown


@given(st.text(max_size=2000))
def test_redaction_is_stable(text: str) -> None:
    redactor = Redactor()
    once = redactor.text(text)
    assert redactor.text(once) == once


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
        max_leaves=10,
    )
)
def test_any_value_becomes_fit_for_json(value: object) -> None:
    assert json.dumps(Redactor().value(value))


@pytest.mark.parametrize("part", ["a.", "a://", "eyJ-", "eyJaaaaa.", "sk-aaaaaaaaaaaa-", "bearer ", "password="])
def test_a_hostile_text_takes_no_longer_than_its_length(part: str) -> None:
    """64 KiB is what a request line may have; a shape that looks back at every byte took seven seconds over it."""
    text = part * (65536 // len(part))
    began = time.process_time()
    Redactor().text(text)
    assert time.process_time() - began < 1


PARTS = (
    *("sk-oai-", "sk-", "Bearer ", "basic%20", "Authorization", "api_key", "x-goog-api-key", "set-cookie", "passwd"),
    *(
        "client_secret",
        "://",
        "@",
        "=",
        ": ",
        '"',
        "\\x",
        "ab",
        "AIza",
        "ghp_",
        "gsk_",
        "eyJ",
        ".",
        "sha256~",
        "...",
        " ",
    ),
    *("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----", "a1B2c3D4e5F6", "\u212a", "\u017f", "\n"),
)


@given(st.lists(st.sampled_from(PARTS), max_size=24).map("".join))
def test_what_is_left_unlooked_for_is_not_there(text: str) -> None:
    """Most shapes are not looked for in most texts. The outcome is that of looking for all of them."""
    thorough = text
    for shape in redaction._SHAPES:
        thorough = shape.pattern.sub(shape.instead, thorough)
    assert Redactor().text(text) == thorough
