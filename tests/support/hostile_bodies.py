"""Bodies made to be read in two ways, and what must become of each.

``@OK@`` stands for the one model that the key may call, ``@NO@`` for one that it may not.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

MIB = 1 << 20


class Fate(Enum):
    """What must become of a request."""

    RUNS = "runs"
    """It reaches the server that the name leads to, and every parser finds that name."""
    HARMLESS = "harmless"
    """It is no JSON, but not in a way that hides a name: a parser finds the one that was judged, or refuses."""
    REFUSED = "refused"
    """The gateway refuses it, and no server sees it."""


RUNS, HARMLESS, REFUSED = Fate.RUNS, Fate.HARMLESS, Fate.REFUSED


class Case(NamedTuple):
    """One request. ``pieces``: the sizes of its chunks, empty for a Content-Length; ``raw``: framing lines instead of
    ours, with the body as it stands."""

    group: str
    name: str
    fate: Fate
    body: bytes
    headers: tuple[str, ...] = ("Content-Type: application/json",)
    pieces: tuple[int, ...] = ()
    raw: tuple[str, ...] = ()
    trailer: str = ""
    target: str = ""


PLAIN = b'{"model":"@OK@","messages":[{"role":"user","content":"Hello"}]}'
JSON = "Content-Type: application/json"


def _bodies(group: str, fate: Fate, found: dict[str, bytes | str]) -> Iterator[Case]:
    for name, body in found.items():
        yield Case(group, name, fate, body.encode() if isinstance(body, str) else body)


_PLAIN: dict[str, bytes | str] = {
    "plain": PLAIN,
    "the name last": '{"stream":false,"model":"@OK@"}',
    "space in every place": ' \n{ \t"model" \r\n: \t"@OK@" \n, "a" : [ ] }\n\n ',
    "a value that is escaped": r'{"model":"@OK_ESCAPED@"}',
    "a slash as PHP writes it": r'{"model":"@OK_SLASH@"}',
    "half a surrogate elsewhere": r'{"a":"\ud83d","model":"@OK@"}',
    "a huge number": '{"a":1e400,"b":-0,"model":"@OK@"}',
    "an empty name beside": '{"":"@NO@","model":"@OK@"}',
    "a longer name beside": '{"model_id":"@NO@","models_":"@NO@","model":"@OK@"}',
    "the name with a space beside": '{"model ":"@NO@"," model":"@NO@","model":"@OK@"}',
    "the name with NUL beside": r'{"model\u0000":"@NO@","model":"@OK@"}',
    "the name in wide letters beside": '{"ｍｏｄｅｌ":"@NO@","model":"@OK@"}',
    "the name with a zero-width space beside": '{"mo\u200bdel":"@NO@","model":"@OK@"}',
    "the name in a dotted path beside": '{"a.model":"@NO@","model":"@OK@"}',
}

_CONTENT: dict[str, bytes | str] = {
    "in a message": '{"messages":[{"role":"user","content":"x","model":"@NO@"}],"model":"@OK@"}',
    "in a message's text": r'{"messages":[{"content":"\",\"model\":\"@NO@\""}],"model":"@OK@"}',
    "in a text with escapes at its end": r'{"a":"\\","b":"\\\"model\":\"@NO@","model":"@OK@"}',
    "in metadata": '{"metadata":{"model":"@NO@"},"model":"@OK@"}',
    "in Responses' input": '{"input":[{"type":"message","model":"@NO@"}],"model":"@OK@"}',
    "in a tool's arguments": '{"tools":[{"type":"function","function":{"name":"f","parameters":'
    '{"properties":{"model":{"const":"@NO@"}}}}}],"model":"@OK@"}',
    "in a schema": '{"response_format":{"json_schema":{"model":"@NO@"}},"model":"@OK@"}',
}

_TWICE: dict[str, bytes | str] = {
    "good, bad": '{"model":"@OK@","model":"@NO@"}',
    "bad, good": '{"model":"@NO@","model":"@OK@"}',
    "good, good": '{"model":"@OK@","model":"@OK@"}',
    "three times": '{"model":"@OK@","model":"@NO@","model":"@OK@"}',
    "then null": '{"model":"@OK@","model":null}',
    "null first": '{"model":null,"model":"@OK@"}',
    "then a list": '{"model":"@OK@","model":["@NO@"]}',
    "then an object": '{"model":"@OK@","model":{"model":"@NO@"}}',
    "then empty": '{"model":"@OK@","model":""}',
    "far apart": b'{"model":"@OK@","a":"' + b"x" * MIB + b'","model":"@NO@"}',
    "after something deep": '{"model":"@OK@","a":[[{"b":{}}]],"model":"@NO@"}',
    "after a string that ends in a backslash": r'{"model":"@OK@","a":"\\","model":"@NO@"}',
    "escaped the second time": r'{"model":"@OK@","mod\u0065l":"@NO@"}',
    "escaped the first time": r'{"\u006dodel":"@NO@","model":"@OK@"}',
    "escaped whole": r'{"model":"@OK@","\u006D\u006F\u0064\u0065\u006C":"@NO@"}',
}

_SPELLING: dict[str, bytes | str] = {
    "Model beside": '{"model":"@OK@","Model":"@NO@"}',
    "MODEL before": '{"MODEL":"@NO@","model":"@OK@"}',
    "mOdEl beside": '{"model":"@OK@","mOdEl":"@NO@"}',
    "Model, escaped, beside": r'{"model":"@OK@","\u004dodel":"@NO@"}',
    "Model alone": '{"Model":"@OK@"}',
    "MODEL alone": '{"MODEL":"@OK@"}',
    "escaped alone": r'{"mode\u006c":"@OK@"}',
}

_FURTHER: dict[str, bytes | str] = {
    "models": '{"model":"@OK@","models":["@NO@"]}',
    "Models": '{"Models":["@NO@"],"model":"@OK@"}',
    "models, escaped": r'{"model":"@OK@","model\u0073":["@NO@"]}',
    "models with the long s": '{"model":"@OK@","model\u017f":["@NO@"]}',
    "fallbacks": '{"model":"@OK@","fallbacks":["@NO@"]}',
    "fallbacks as objects": '{"model":"@OK@","fallbacks":[{"model":"@NO@"}]}',
    "fallbacks with the Kelvin sign": '{"model":"@OK@","fallbac\u212as":["@NO@"]}',
    "extra_body": '{"model":"@OK@","extra_body":{"model":"@NO@"}}',
    "a plugin": '{"model":"@OK@","plugins":[{"id":"x","Model":"@NO@"}]}',
    "a tool that is another model": '{"model":"@OK@","tools":[{"type":"advisor_20260301","model":"@NO@"}]}',
    "a tool that may run any": '{"model":"@OK@","tools":[{"type":"image_generation"}]}',
    "a field nobody knows": '{"model":"@OK@","new":[[{"y":{"models":["@NO@"]}}]]}',
    "more than can be told": b'{"model":"@OK@","models":[' + b",".join(b'"m%d"' % n for n in range(40)) + b"]}",
}

_NOT_A_NAME: dict[str, bytes | str] = {
    "none": "{}",
    "only below": '{"a":{"model":"@OK@"}}',
    "null": '{"model":null}',
    "true": '{"model":true}',
    "a number": '{"model":7}',
    "a list of one": '{"model":["@OK@"]}',
    "an object": '{"model":{"id":"@OK@"}}',
    "empty": '{"model":""}',
    "the forbidden one": '{"model":"@NO@"}',
    "one that nobody has": '{"model":"nobody/has-it"}',
    "all": '{"model":"*"}',
    "two in one": '{"model":"@OK@,@NO@"}',
    "in capitals": '{"model":"@OK_UPPER@"}',
    "percent-encoded": '{"model":"@OK_PERCENT@"}',
    "space before": '{"model":" @OK@"}',
    "space behind": '{"model":"@OK@ "}',
    "a line break": r'{"model":"@OK@\nX-MaaS-Route: llm/secret"}',
    "a whole header": r'{"model":"@OK@\r\nX-Gateway-Model-Name: @NO@"}',
    "NUL behind": r'{"model":"@OK@\u0000"}',
    "half a surrogate behind": r'{"model":"@OK@\ud83d"}',
    "an escape that is none": r'{"model":"\x72eader"}',
    "bytes that are no UTF-8": b'{"model":"@OK@\xff"}',
    "an overlong slash": b'{"model":"reader\xc0\xafpython"}',
    "257 bytes": b'{"model":"' + b"m" * 257 + b'"}',
    "a megabyte": b'{"model":"' + b"m" * MIB + b'"}',
}

_ENCODED: dict[str, bytes | str] = {
    "a byte order mark": b"\xef\xbb\xbf" + PLAIN,
    "UTF-16 with a mark": PLAIN.decode().encode("utf-16"),
    "UTF-16, little end first": PLAIN.decode().encode("utf-16-le"),
    "UTF-16, big end first": PLAIN.decode().encode("utf-16-be"),
    "UTF-32": PLAIN.decode().encode("utf-32"),
    "UTF-7": '{+ACI-model+ACI-:"@OK@"}',
    "NUL before": b"\0" + PLAIN,
    "a vertical tab before": b"\x0b" + PLAIN,
    "a no-break space before": "\u00a0" + PLAIN.decode(),
    "a line separator behind": PLAIN.decode() + "\u2028",
    "gzip that nobody names": gzip.compress(PLAIN),
}

_TRAILING: dict[str, bytes | str] = {
    "a second object": PLAIN + b'{"model":"@NO@"}',
    "a second line": PLAIN + b'\n{"model":"@NO@"}',
    "a semicolon": PLAIN + b";",
    "a bracket": PLAIN + b"]",
    "a comment": PLAIN + b"//",
    "NUL": PLAIN + b"\0",
    "much space": PLAIN + b" " * 5000,
    "a list around it": b"[" + PLAIN + b"]",
    "a string around it": json.dumps(PLAIN.decode()),
    "nothing": "",
    "only space": "   ",
    "cut off": PLAIN[:-1],
    "cut off in a string": PLAIN[:12],
    "a form": "model=@OK@&messages=",
}

_COMMENTS: dict[str, bytes | str] = {
    "a comment that holds a quote": '{/*"*/"model":"@OK@"}',
    "a comment that holds the name": '{"model":"@OK@"/*,"model":"@NO@"*/}',
    "a line comment": '{"model":"@OK@"//"\n}',
    "a hash": '{"model":"@OK@"#\n}',
    "single quotes": "{'model':'@OK@'}",
    "a bare name": '{model:"@OK@"}',
    "a hexadecimal number": '{"a":0x10,"model":"@OK@"}',
    "NaN": '{"a":NaN,"model":"@OK@"}',
    "Infinity": '{"a":-Infinity,"model":"@OK@"}',
    "brackets that do not match": '{"a":[},"model":"@OK@"}',
}

_HARMLESS: dict[str, bytes | str] = {
    "a comma too much": '{"model":"@OK@",}',
    "a comma too few": '{"a":1"model":"@OK@"}',
    "a colon too few": '{"a" 1,"model":"@OK@"}',
    "a leading zero": '{"a":01,"model":"@OK@"}',
    "a plus sign": '{"a":+1,"model":"@OK@"}',
    "nan": '{"a":nan,"model":"@OK@"}',
    "a raw line break in a text": '{"a":"\n","model":"@OK@"}',
    "a text that is no UTF-8": b'{"a":"\xff\xfe","model":"@OK@"}',
    "an overlong name beside": b'{"mod\xc1\xa5l":"@NO@","model":"@OK@"}',
    "an escape that is none, elsewhere": r'{"a":"\q","model":"@OK@"}',
}

_LARGE: dict[str, bytes | str] = {
    "an image of 5 MiB before": b'{"a":"' + b"QUJD" * (5 * MIB // 4) + b'","model":"@OK@"}',
    "31 MiB of text": b'{"a":"' + b"x" * (31 * MIB) + b'","model":"@OK@"}',
    "a name of a megabyte beside": b'{"' + b"n" * MIB + b'":1,"model":"@OK@"}',
    "199 deep": b'{"a":' + b"[" * 198 + b"]" * 198 + b',"model":"@OK@"}',
}

_TOO_LARGE: dict[str, bytes | str] = {
    "33 MiB": b'{"a":"' + b"x" * (33 * MIB) + b'","model":"@OK@"}',
    "300 deep": b'{"model":"@OK@","a":' + b"[" * 300 + b"]" * 300 + b"}",
    "a hundred thousand deep": b'{"model":"@OK@","a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "very many values": b'{"model":"@OK@","a":[' + b'{"":0},' * 170_000 + b"0]}",
    "very many brackets": b'{"model":"@OK@","a":[' + b"[]," * 700_000 + b"0]}",
    "8 MB of space": b'{"model":"@OK@","a":[' + b" " * 8_000_000 + b"]}",
}


def _typed() -> Iterator[Case]:
    for fate, kinds in (
        (RUNS, ("application/json; charset=utf-8", "Application/JSON", 'application/json;charset="UTF-8"')),
        (
            REFUSED,
            (
                "text/plain",
                "text/json",
                "application/jsonp",
                "application/vnd.api+json",
                "application/x-www-form-urlencoded",
                "multipart/form-data; boundary=x",
                "application/json; charset=utf-16",
                "application/json; charset=latin1",
                "application/json; charset=utf-8; charset=utf-16",
                "application/json, text/plain",
            ),
        ),
    ):
        for kind in kinds:
            yield Case("content type", kind, fate, PLAIN, (f"Content-Type: {kind}",))
    yield Case("content type", "none", REFUSED, PLAIN, ())
    yield Case("content type", "two of them", REFUSED, PLAIN, (JSON, "Content-Type: text/plain"))
    yield Case("content type", "two of them, ours last", REFUSED, PLAIN, ("Content-Type: text/plain", JSON))


def _compressed() -> Iterator[Case]:
    squeezed = {"gzip": gzip.compress(PLAIN), "x-gzip": gzip.compress(PLAIN), "deflate": zlib.compress(PLAIN)}
    for name, body in squeezed.items():
        yield Case("compressed", name, REFUSED, body, (JSON, f"Content-Encoding: {name}"))
    for name in ("gzip", "br", "zstd", "identity, gzip", "aws-chunked"):
        yield Case("compressed", f"{name} that is none", REFUSED, PLAIN, (JSON, f"Content-Encoding: {name}"))
    twice = (JSON, "Content-Encoding: identity", "Content-Encoding: gzip")
    yield Case("compressed", "two lines", REFUSED, gzip.compress(PLAIN), twice)
    yield Case("compressed", "Identity", RUNS, PLAIN, (JSON, "Content-Encoding: Identity"))


def _framed() -> Iterator[Case]:
    yield Case("framing", "chunks of one byte", RUNS, PLAIN, pieces=(1,))
    yield Case("framing", "chunks of 7, 1, 13 bytes", RUNS, PLAIN, pieces=(7, 1, 13))
    yield Case("framing", "a chunk that ends in the name", RUNS, PLAIN, pieces=(5, 1000))
    yield Case("framing", "a trailer that forges", RUNS, PLAIN, pieces=(9,), trailer="X-Gateway-Model-Name: @NO@\r\n")
    yield Case("framing", "chunks, twice in them", REFUSED, b'{"model":"@OK@","model":"@NO@"}', pieces=(3,))
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(b'{"model":"@NO@"}'), b'{"model":"@NO@"}')
    both = ("Content-Length: 4", "Transfer-Encoding: chunked")
    yield Case("framing", "a length and chunks", REFUSED, chunk, raw=both)
    yield Case("framing", "gzip, chunked", REFUSED, chunk, raw=("Transfer-Encoding: gzip, chunked",))
    yield Case("framing", "chunked, spelt otherwise", REFUSED, chunk, raw=("Transfer-Encoding: xchunked",))
    yield Case("framing", "two lengths", REFUSED, PLAIN, raw=("Content-Length: 16", "Content-Length: 70"))
    yield Case("framing", "a length that is none", REFUSED, PLAIN, raw=("Content-Length: 0x10",))
    yield Case("framing", "a length too short", REFUSED, PLAIN, raw=("Content-Length: 14",))
    yield Case("framing", "a size of a chunk that is none", REFUSED, b"zz\r\n{}\r\n0\r\n\r\n", raw=both[1:])
    yield Case("framing", "a header that is folded", RUNS, PLAIN, (JSON, "X-Any: 1\r\n X-Gateway-Model-Name: @NO@"))
    yield Case("framing", "underscores in a header", REFUSED, PLAIN, (JSON, "X_Gateway_Model_Name: @NO@"))


def _elsewhere() -> Iterator[Case]:
    path = "/v1/chat/completions"
    yield Case("elsewhere", "in the query", RUNS, PLAIN, target=f"{path}?model=@NO@")
    yield Case("elsewhere", "another method in a header", RUNS, PLAIN, (JSON, "X-HTTP-Method-Override: GET"))
    yield Case("elsewhere", "another path in a header", RUNS, PLAIN, (JSON, "X-Original-Url: /llm/secret/v1/x"))
    yield Case("elsewhere", "another path in Envoy's header", RUNS, PLAIN, (JSON, "X-Envoy-Original-Path: /v1/models"))
    yield Case("elsewhere", "two slashes in the path", RUNS, PLAIN, target="/v1//chat/completions")
    yield Case("elsewhere", "dots in the path", RUNS, PLAIN, target="/v1/models/../chat/completions")
    yield Case("elsewhere", "escaped slashes and dots", RUNS, PLAIN, target="/v1/models%2f..%2fchat/completions")
    yield Case("elsewhere", "a path that does not exist", REFUSED, PLAIN, target="/v1/chat/completions/x")
    yield Case("elsewhere", "capitals in the path", REFUSED, PLAIN, target="/V1/chat/completions")


CASES: tuple[Case, ...] = (
    *_bodies("plain", RUNS, _PLAIN),
    *_bodies("content", RUNS, _CONTENT),
    *_bodies("twice", REFUSED, _TWICE),
    *_bodies("spelling", REFUSED, _SPELLING),
    *_bodies("further models", REFUSED, _FURTHER),
    *_bodies("not a name", REFUSED, _NOT_A_NAME),
    *_bodies("encoding", REFUSED, _ENCODED),
    *_typed(),
    *_compressed(),
    *_framed(),
    *_bodies("trailing", REFUSED, _TRAILING),
    *_bodies("not JSON", REFUSED, _COMMENTS),
    *_bodies("not JSON", HARMLESS, _HARMLESS),
    *_bodies("large", RUNS, _LARGE),
    *_bodies("large", REFUSED, _TOO_LARGE),
    *_elsewhere(),
)

FORGED = (
    "X-Gateway-Model-Name: @NO@",
    "x-gateway-model-name: @OK@",
    "X-MaaS-Body: nested=@OK@",
    "X-MaaS-Body: doubt=",
    "X-MaaS-Route: llm/secret",
    "x-maas-route: llm/secret",
    'X-MaaS-Models: ["@NO@"]',
    'X-MaaS-Models: ["*"]',
)
"""Sent with every case: what only the gateway may say, each of it twice."""


def written(case: Case, *, ok: str, no: str, headers: tuple[str, ...]) -> bytes:
    """The request's bytes. ``headers``: lines beside the case's own; the last request of its connection."""
    ok_escaped = "".join(f"\\u{ord(char):04x}" for char in ok)
    texts = {
        "@OK@": ok,
        "@NO@": no,
        "@OK_ESCAPED@": ok_escaped,
        "@OK_SLASH@": ok.replace("/", r"\/"),
        "@OK_UPPER@": ok.upper(),
        "@OK_PERCENT@": ok.replace("/", "%2F"),
    }

    def filled(data: bytes) -> bytes:
        for mark, text in texts.items():
            for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
                data = data.replace(mark.encode(encoding), text.encode(encoding))
        return data

    body = filled(case.body)
    framing: tuple[str, ...] = case.raw
    if case.pieces:
        framing = ("Transfer-Encoding: chunked",)
        body = _chunked(body, case.pieces, filled(case.trailer.encode()))
    elif not case.raw:
        framing = (f"Content-Length: {len(body)}",)
    target = case.target or "/v1/chat/completions"
    lines = (f"POST {target} HTTP/1.1", "Host: gateway", "Connection: close", *case.headers, *headers, *framing)
    return filled("\r\n".join(lines).encode()) + b"\r\n\r\n" + body


def _chunked(body: bytes, sizes: tuple[int, ...], trailer: bytes) -> bytes:
    parts, place, turn = [], 0, 0
    while place < len(body):
        piece = body[place : place + sizes[turn % len(sizes)]]
        parts.append(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece))
        place, turn = place + len(piece), turn + 1
    return b"".join(parts) + b"0\r\n" + trailer + b"\r\n"
