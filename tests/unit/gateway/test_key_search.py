"""No API key goes on with a request, wherever it stands and however its characters are escaped; as Envoy runs it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_api.gateway.envoy.model_name import source
from maas_api.keys import format as keys
from tests.support.body_filter import Headers, Outcome, loaded

KEY = keys.make(lambda count: bytes(range(200, 200 + count))).plaintext
Run = Callable[..., Outcome]


@pytest.fixture(scope="module")
def run() -> Run:
    filter_ = loaded(source())

    def one(body: bytes | None = b"{}", trailers: Headers | None = None, **more: str) -> Outcome:
        given = {":method": "POST", ":path": "/llm/a/v1/x", "content-type": "application/json", "x-api-key": "junk"}
        given |= {name.replace("_", "-"): value for name, value in more.items()}
        return filter_(body, {name: value for name, value in given.items() if value}, trailers)

    return one


def code(outcome: Outcome) -> str | None:
    return None if outcome.refused is None else str(outcome.refused[1]["code"])


def escaped(text: str) -> str:
    return "".join(f"\\u{ord(char):04x}" for char in text)


BODIES = {
    "a field": {"user": KEY},
    "in a sentence": {"messages": [{"content": f"My key is {KEY}."}]},
    "a name": {KEY: 1},
    "of another": {"user": keys.make(bytes).plaintext},
    "of March 2026": {"user": "sk-oai-" + "a1B2" * 10},
    "its beginning in capitals": {"user": KEY.replace("sk-oai-", "SK-OAI-")},
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET"])
def test_a_key_in_a_body_is_refused(run: Run, body: dict[str, object], method: str) -> None:
    outcome = run(json.dumps(body).encode(), **{":method": method})
    assert code(outcome) == "key_in_request"
    assert KEY[-20:] not in str(outcome.refused)


@given(st.sets(st.integers(0, len(KEY) - 1), min_size=1), st.booleans(), st.sampled_from(["", "\\", "\\\\"]))
def test_whichever_of_its_characters_are_escaped(run: Run, places: set[int], capitals: bool, nested: str) -> None:
    form = "\\u{:04X}" if capitals else "\\u{:04x}"
    written = "".join(nested + form.format(ord(char)) if at in places else char for at, char in enumerate(KEY))
    assert code(run(b'{"a":"' + written.encode() + b'"}')) == "key_in_request"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=b", f'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n{KEY}\r\n--b--'),
        ("multipart/form-data; boundary=b", f"--b\r\n\r\n{chr(0) * 9}{KEY}\r\n--b--"),
        ("application/x-www-form-urlencoded", f"a=1&key={KEY}"),
        ("application/x-www-form-urlencoded", "key=" + KEY.replace("s", "%73").replace("-", "%2D").replace("_", "%5f")),
        ("application/x-www-form-urlencoded", "key=" + "".join(f"%{ord(char):02x}" for char in KEY)),
        ("text/plain", KEY),
        ("application/octet-stream", f"\0\1{KEY}"),
        ("", f'{{"user":"{escaped(KEY)}"}}'),
    ],
    ids=["multipart", "multipart, bytes", "form", "form, some escaped", "form, escaped", "text", "bytes", "untold"],
)
def test_of_whatever_type_the_body_is(run: Run, kind: str, body: str) -> None:
    assert code(run(body.encode(), content_type=kind)) == "key_in_request"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_body_in_another_encoding_is_refused(run: Run, encoding: str) -> None:
    text = json.dumps({"user": KEY}).encode(encoding)
    for kind in ("application/json", "text/plain", "multipart/form-data; boundary=b"):
        assert code(run(text, content_type=kind)) == "invalid_body"
    assert code(run('{"a":1}'.encode(encoding))) == "invalid_body", "what it says could not be read"


def test_a_compressed_body_is_refused(run: Run) -> None:
    outcome = run(b"{}", content_encoding="gzip")
    assert outcome.refused is not None
    assert (outcome.refused[0], code(outcome)) == (415, "unsupported_media_type")
    assert run(b"{}", content_encoding="identity").refused is None


@pytest.mark.parametrize(
    "text",
    [
        "What does sk-oai- mean? My key begins with sk-oai-AbCdEf123456...",
        "sk-oai-compatible and sk-oai-short",
        "task-oai-" + "a" * 40 + " is found by its beginning, " + "disk-oai_" + "a" * 40,
        "\u00e9\u00e0\u00fc \u4e2d " * 50,
        "100% of %73 %2d",
    ],
    ids=["talk about keys", "short", "within words", "escaped letters", "percent signs"],
)
def test_what_is_no_key_goes_on(run: Run, text: str) -> None:
    body = json.dumps({"model": "m", "messages": [{"content": text}]}).encode()
    refused = run(body).refused
    assert (refused is not None) == ("task-oai-" in text), "a key may follow any letter: it is refused there too"


@pytest.mark.parametrize(
    "spell",
    [str, str.upper, lambda key: key.replace("-", "%2D"), lambda key: key.replace("-", "%252d")],
    ids=["plain", "capitals", "escaped", "escaped twice"],
)
@pytest.mark.parametrize("path", ["/llm/a/{}", "/v1/x?key={}", "/llm/{}/v1"])
def test_a_key_in_a_path_or_query_is_refused_and_shown_to_no_log(
    run: Run, path: str, spell: Callable[[str], str]
) -> None:
    outcome = run(**{":path": path.format(spell(KEY))})
    assert code(outcome) == "key_in_request"
    assert KEY[-20:].lower() not in str(outcome.headers).lower()


def test_a_key_in_the_host_is_refused(run: Run) -> None:
    outcome = run(**{":authority": f"{KEY}@gateway"})
    assert (code(outcome), outcome.headers[":authority"]) == ("key_in_request", "redacted")


def test_headers_and_trailers_with_a_key_are_dropped(run: Run) -> None:
    odd = {"cookie": f"k={KEY}", "referer": f"https://x/?{KEY.upper()}", "user-agent": "curl", f"x-{KEY.lower()}": "1"}
    outcome = run(b'{"model":"m"}', {"x-late": "anything"}, **odd, proxy_authorization="Basic c2stb2Fp")
    assert outcome.refused is None
    assert outcome.headers == {
        ":method": "POST", ":path": "/llm/a/v1/x", "content-type": "application/json", "x-api-key": "junk",
        "user-agent": "curl", "x-gateway-model-name": "m",
    }  # fmt: skip
    assert outcome.trailers == {}


@pytest.mark.parametrize(
    "unit", [b"-oai-", b"sk-oai-", b"\\u0073", b"\\u0022", b"\\u006b-oai-", b"%73", b"\\u00", b"\\"], ids=repr
)
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded"])
def test_no_body_takes_long(run: Run, unit: bytes, kind: str) -> None:
    body = b'{"model":"m","a":"' + unit * (4_000_000 // len(unit)) + b'"}'
    before = time.process_time()
    run(body, content_type=kind)
    assert time.process_time() - before < 1, "a fraction of it: measured under load"
