"""The filter that reads a body's model, run as Envoy runs it (LuaJIT), against the parsers that stand behind it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_api.gateway.envoy.model_name import source
from maas_api.providers import CREDENTIAL_HEADERS
from tests.support.body_filter import Headers, loaded


@pytest.fixture(scope="module")
def filtered() -> Callable[..., Headers]:
    """A function: body, headers -> what the filter added."""
    filter_ = loaded(source())

    def run(body: bytes | None, **more: str) -> Headers:
        given = {":method": "POST", "content-type": "application/json", "authorization": "Bearer x"}
        given |= {name.replace("_", "-"): value for name, value in more.items()}
        before = {name: value for name, value in given.items() if value}
        after = filter_(body, before).headers
        return {name: value for name, value in after.items() if before.get(name) != value}

    return run


MODEL, BODY = "x-gateway-model-name", "x-maas-body"

NAMED: dict[str, tuple[str, Headers]] = {
    "first": ('{"model":"m","stream":true}', {MODEL: "m"}),
    "last, with space": (' { "stream" : false ,\n\t"model" : "m" }\n', {MODEL: "m"}),
    "with a slash as PHP writes it": (r'{"model":"a\/b"}', {MODEL: "a/b"}),
    "beyond ASCII": ('{"model":"modèle"}', {MODEL: "modèle"}),
    "beyond ASCII, escaped": (r'{"model":"mod\u00e8le \ud83d\ude00!"}', {MODEL: "modèle 😀!"}),
    "named in a message": ('{"messages":[{"content":"{\\"model\\":\\"x\\"}"}],"model":"m"}', {MODEL: "m"}),
    "named in an argument of a tool's use": (
        '{"model":"m","messages":[{"content":[{"type":"tool_use","input":{"model":"T"}}]}]}',
        {MODEL: "m"},
    ),
    "named in the shape of a tool's arguments": (
        '{"model":"m","tools":[{"type":"function","function":{"parameters":{"properties":{"model":{"type":"string"},'
        '"x":{"default":{"model":"T"}}}}}}]}',
        {MODEL: "m", BODY: "tools=function"},
    ),
    "an advisor": (
        '{"model":"m","tools":[{"type":"advisor_20260301","name":"a","model":"opus"},{"name":"t"}]}',
        {MODEL: "m", BODY: "nested=opus;tools=advisor_20260301"},
    ),
    "alternatives": ('{"models":["b","c"],"model":"m"}', {MODEL: "m", BODY: "nested=b,c"}),
    "alternatives in other letters": ('{"Models":["b"],"model":"m","FALLBACKS":"c"}', {MODEL: "m", BODY: "nested=b,c"}),
    "alternatives in letters that fold": (
        '{"model\u017f":["b"],"fallbac\u212as":["c"],"model":"m"}',
        {MODEL: "m", BODY: "nested=b,c"},
    ),
    "fallbacks as objects": (
        '{"model":"m","fallbacks":[{"model":"b","max_tokens":1}]}',
        {MODEL: "m", BODY: "nested=b"},
    ),
    "a plugin": ('{"model":"m","plugins":[{"id":"fusion","x":{"Model":"b"}}]}', {MODEL: "m", BODY: "nested=b"}),
    "a field nobody knows": ('{"model":"m","new":[[{"y":{"models":["b,c"]}}]]}', {MODEL: "m", BODY: "nested=b%2Cc"}),
    "none of them": ('{"model":"m","models":[],"fallbacks":null,"tools":[]}', {MODEL: "m"}),
}


@pytest.mark.parametrize(("body", "expected"), NAMED.values(), ids=NAMED.keys())
def test_what_a_body_names_is_told(filtered: Callable[..., Headers], body: str, expected: Headers) -> None:
    assert filtered(body.encode()) == expected


DOUBTFUL: dict[str, tuple[str, bytes | None]] = {
    "nothing": ("no-body", None),
    "an empty body": ("no-body", b""),
    "no JSON": ("not-json", b"model=m"),
    "a list": ("not-json", b'["model"]'),
    "a byte order mark": ("not-json", b'\xef\xbb\xbf{"model":"m"}'),
    "a second value": ("not-json", b'{"model":"m"}{"model":"n"}'),
    "something behind it": ("not-json", b'{"model":"m"};'),
    "cut off": ("not-json", b'{"model":"m"'),
    "cut off in a string": ("not-json", b'{"model":"m'),
    "brackets that do not match": ("not-json", b'{"model":"m","a":[}]'),
    "a comment": ("not-json", b'{"a":1,/*"*/"model":"m"}'),
    "single quotes": ("not-json", b"{'model':'m'}"),
    "a bare name": ("not-json", b'{model:"m"}'),
    "twice": ("twice", b'{"model":"m","model":"n"}'),
    "twice, once escaped": ("twice", b'{"model":"m","mod\\u0065l":"n"}'),
    "twice, in other letters": ("twice", b'{"model":"m","MODEL":"n"}'),
    "twice, deep below": ("twice", b'{"model":"m","a":{"b":[{}]},"model":"m"}'),
    "in other letters": ("spelling", b'{"Model":"m"}'),
    "escaped": ("spelling", b'{"\\u006dodel":"m"}'),
    "none": ("no-model", b"{}"),
    "only below": ("no-model", b'{"a":{"model":"m"}}'),
    "a number": ("no-model", b'{"model":7}'),
    "null": ("no-model", b'{"model":null}'),
    "an object": ("no-model", b'{"model":{"id":"m"}}'),
    "a list of one": ("no-model", b'{"model":["m"]}'),
    "empty": ("model-name", b'{"model":""}'),
    "with a line break": ("model-name", b'{"model":"m\\nx"}'),
    "with NUL": ("model-name", b'{"model":"m\\u0000"}'),
    "with space at its end": ("model-name", b'{"model":"m "}'),
    "with half a character": ("model-name", b'{"model":"m\\ud83d"}'),
    "an escape that is none": ("model-name", b'{"model":"m\\x41"}'),
    "very long": ("model-name", b'{"model":"' + b"m" * 257 + b'"}'),
    "too many others": (
        "further-models",
        b'{"model":"m","models":[' + b",".join(b'"m%d"' % n for n in range(40)) + b"]}",
    ),
    "another that is no name": ("further-models", b'{"model":"m","models":["a\\u0000"]}'),
    "very deep": ("too-complex", b'{"model":"m","a":' + b"[" * 300 + b"]" * 300 + b"}"),
    "very many values": ("too-complex", b'{"model":"m","a":[' + b'{"":0},' * 170_000 + b"0]}"),
    "very many brackets": ("too-complex", b'{"model":"m","a":[' + b"[]," * 700_000 + b"0]}"),
    "very much space": ("too-complex", b'{"model":"m","a":[' + b" " * 8_000_000 + b"]}"),
}


@pytest.mark.parametrize(("doubt", "body"), DOUBTFUL.values(), ids=DOUBTFUL.keys())
def test_where_parsers_could_differ_a_doubt_is_told(
    filtered: Callable[..., Headers], doubt: str, body: bytes | None
) -> None:
    assert filtered(body) == {BODY: f"doubt={doubt}"}


@pytest.mark.parametrize(
    ("header", "value", "doubt"),
    [
        ("content_type", "", "content-type"),
        ("content_type", "text/plain", "content-type"),
        ("content_type", "application/json; charset=utf-16", "content-type"),
        ("content_type", "application/jsonp", "content-type"),
        ("content_type", "multipart/form-data; boundary=x", "content-type"),
        ("content_type", "Application/JSON; Charset=UTF-8", ""),
        ("content_type", 'application/json;charset="utf-8"', ""),
        ("content_encoding", "identity", ""),
    ],
)
def test_only_plain_json_is_read(filtered: Callable[..., Headers], header: str, value: str, doubt: str) -> None:
    assert filtered(b'{"model":"m"}', **{header: value}) == ({BODY: f"doubt={doubt}"} if doubt else {MODEL: "m"})


def test_nothing_is_held_where_the_answer_needs_no_body(filtered: Callable[..., Headers]) -> None:
    assert filtered(b'{"model":"m"}', **{":method": "GET"}) == {}
    assert filtered(b'{"model":"m"}', authorization="") == {}, "nobody asks"
    assert filtered(b'{"model":"m"}', authorization="", x_api_key="k") == {MODEL: "m"}


def test_what_a_client_tells_of_itself_is_gone_whatever_the_body_says(filtered: Callable[..., Headers]) -> None:
    forged = dict.fromkeys((MODEL, BODY), "forged")
    assert filtered(b"{}", **forged) == {BODY: "doubt=no-model"}
    assert filtered(b'{"model":"m"}', **forged) == {MODEL: "m"}
    assert filtered(b'{"model":"m"}', **{":method": "GET"}, **forged) == {}


def test_every_credential_is_known_to_the_filter() -> None:
    declared = re.search(r"local CREDENTIALS = \{(.*)\}", source())
    assert declared
    assert tuple(re.findall(r'"([^"]+)"', declared.group(1))) == CREDENTIAL_HEADERS


def go_would_read(text: str) -> Any:
    """What Go's encoding/json finds under ``model``: names of any case are one, the last counts."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        return {name.lower().replace("\u017f", "s").replace("\u212a", "k"): value for name, value in found}

    return json.loads(text, object_pairs_hook=pairs).get("model")


texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
names = st.one_of(st.sampled_from(["model", "Model", "MODEL", "models", "messages", "tools", "a"]), texts)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
    max_leaves=10,
)


@given(
    st.lists(st.tuples(names, values), max_size=5),
    st.booleans(),
    st.sampled_from([(",", ":"), (" ,\n", "\t: ")]),
)
def test_a_name_is_told_only_where_every_parser_finds_that_one(
    filtered: Callable[..., Headers], pairs: list[tuple[str, Any]], escaped: bool, separators: tuple[str, str]
) -> None:
    between, after = separators
    written = [f"{json.dumps(k, ensure_ascii=escaped)}{after}{json.dumps(v, ensure_ascii=escaped)}" for k, v in pairs]
    text = "{" + between.join(written) + "}"
    told = filtered(text.encode())
    python = json.loads(text).get("model")
    if MODEL in told:
        assert told[MODEL] == python == go_would_read(text)
    else:
        assert told.keys() == {BODY}
        fine = isinstance(python, str) and python.strip() == python and python.isprintable() and python
        spelled = [k for k, _ in pairs if k.lower() == "model"]
        assert not (fine and spelled == ["model"]), "a plain body is not refused"
