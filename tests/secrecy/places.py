"""A request as bytes, and every place in it where a key can stand."""

from __future__ import annotations

import base64
import gzip
import http.client
import json
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

HEADERS = (
    "proxy-authorization", "x-goog-api-key", "sec-websocket-protocol", "referer", "cookie", "user-agent", "accept",
    "accept-language", "openai-organization", "openai-project", "openai-beta", "anthropic-beta", "anthropic-version",
    "x-request-id", "traceparent", "tracestate", "baggage", "origin", "from", "via", "te", "if-none-match", "range",
    "x-stainless-lang", "x-anything", "x-maas-username", "x-maas-group", "x-maas-subscription", "x-maas-route",
    "x-gateway-model-name", "x-forwarded-for", "x-envoy-original-path", "forwarded", "x-http-method-override",
)  # fmt: skip


@dataclass(frozen=True)
class Draft:
    """One request before it is sent."""

    method: str
    target: str
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    raw: bytes | None = None
    """The body's bytes, where they are not ``body`` as JSON."""
    trailers: tuple[tuple[str, str], ...] = field(default=())

    def with_headers(self, *lines: tuple[str, str]) -> Draft:
        """With these lines, the last of a name alone where that is a credential's."""
        names = {name for name, _ in lines} & {"authorization", "content-type", "host"}
        return replace(self, headers=(*(line for line in self.headers if line[0] not in names), *lines))

    def encode(self) -> bytes:
        """As it goes over the wire."""
        content = self.raw
        if content is None:
            content = b"" if self.body is None else json.dumps(self.body).encode()
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in self.headers)]
        if self.trailers:
            end = "".join(f"{name}: {value}\r\n" for name, value in self.trailers).encode()
            content = b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(content), content, end) if content else b"0\r\n%s\r\n" % end
            lines += ["transfer-encoding: chunked", "trailer: " + ", ".join(name for name, _ in self.trailers)]
        elif content or self.method in ("POST", "PUT", "PATCH"):
            lines.append(f"content-length: {len(content)}")
        return "\r\n".join((*lines, "", "")).encode("latin-1") + content


def send(port: int, draft: Draft) -> int:
    """The answer's status; 0 where the connection just ended. The answer is read to its end."""
    with socket.create_connection(("127.0.0.1", port), 20) as sock:
        sock.sendall(draft.encode())
        answer = http.client.HTTPResponse(sock, method=draft.method)
        try:
            answer.begin()
            answer.read()
        except (OSError, http.client.HTTPException):
            return 0
        return answer.status


Put = Callable[[Draft, str], Draft]


class Place(NamedTuple):
    """Where it stands. ``put``: the request with the key there too."""

    group: str
    name: str
    put: Put


def places(*, shut: bool = False) -> Iterator[Place]:
    """All of them. ``shut``: of a route that is open to nobody, where those of a kind are tried together."""
    yield from _credentials()
    if shut:
        for form in FORMS:
            yield Place("headers", f"all of them: {form}", _in_headers(HEADERS, form))
    else:
        for name in HEADERS:
            yield from (Place("headers", f"{name}: {form}", _in_headers((name,), form)) for form in FORMS)
    yield Place("headers", "a header's name", lambda draft, key: draft.with_headers((f"x-{key}", "1")))
    yield Place("headers", "host", lambda draft, key: draft.with_headers(("host", f"{key}.example")))
    yield Place("headers", "host, as a user's name", lambda draft, key: draft.with_headers(("host", f"{key}@gateway")))
    yield Place("headers", "a trailer", lambda draft, key: replace(draft, trailers=(("x-late", key),)))
    yield from _targets(("as it is", "escaped") if shut else SPELLED)
    for name in SOME_BODIES if shut else BODIES:
        yield Place("body", name, BODIES[name])


FORMS = ("{key}", 'a "{key}", Bearer {key}; b={capitals}')


def _in_headers(names: tuple[str, ...], form: str) -> Put:
    def put(draft: Draft, key: str) -> Draft:
        return draft.with_headers(*((name, form.format(key=key, capitals=key.upper())) for name in names))

    return put


def _credentials() -> Iterator[Place]:
    for name in ("x-api-key", "api-key"):
        yield Place("credentials", f"{name} too", _in_headers((name,), "{key}"))
        yield Place("credentials", f"{name} alone", _alone(name, "{key}"))
    yield Place("credentials", "basic", _alone("authorization", "Basic {basic}"))
    yield Place("credentials", "basic, to a proxy", _also("proxy-authorization", "Basic {basic}"))
    yield Place(
        "credentials", "bearer, twice", lambda draft, key: replace(draft, headers=(*draft.headers, draft.headers[-1]))
    )
    yield Place("credentials", "without a scheme", _alone("authorization", "{key}"))


def basic(key: str) -> str:
    """As curl sends it with ``-u key:key``."""
    return base64.b64encode(f"{key}:{key}".encode()).decode()


def _also(name: str, form: str) -> Put:
    return lambda draft, key: draft.with_headers((name, form.format(key=key, basic=basic(key))))


def _alone(name: str, form: str) -> Put:
    def put(draft: Draft, key: str) -> Draft:
        headers = tuple(line for line in draft.headers if line[0] != "authorization")
        return _also(name, form)(replace(draft, headers=headers), key)

    return put


SPELLED: dict[str, Callable[[str], str]] = {
    "as it is": lambda key: key,
    "escaped": lambda key: key.replace("-", "%2D").replace("s", "%73"),
    "escaped twice": lambda key: key.replace("-", "%252D"),
    "in capitals": lambda key: key.upper(),
}


def _targets(spellings: Iterable[str]) -> Iterator[Place]:
    shapes = {
        "path": ("{target}/{key}", "{target}/a/{key}/b", "{target};{key}", "/{key}{target}", "http://{key}@x{target}"),
        "query": ("{target}?key={key}", "{target}?a=1&api_key=x{key}", "{target}?{key}", "{target}#{key}"),
    }
    for group, forms in shapes.items():
        for form in forms:
            for how in spellings:

                def put(draft: Draft, key: str, form: str = form, how: str = how) -> Draft:
                    return replace(draft, target=form.format(target=draft.target, key=SPELLED[how](key)))

                yield Place(group, f"{form.format(target='...', key='<key>')}, {how}", put)


def _with_field(name: str, value: Callable[[str], Any]) -> Put:
    return lambda draft, key: replace(draft, body={**(draft.body or {}), name: value(key)})


def _said(key: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"My key is {key}."}]


def _spelled(spell: Callable[[str], str]) -> Put:
    """In a string of the JSON, as ``spell`` writes it there."""

    def put(draft: Draft, key: str) -> Draft:
        text = json.dumps({**(draft.body or {}), "user": "KEY"})
        return replace(draft, raw=text.replace("KEY", spell(key)).encode())

    return put


def _raw(kind: str, form: str, *more: tuple[str, str], code: Callable[[str], bytes] = str.encode) -> Put:
    def put(draft: Draft, key: str) -> Draft:
        text = form.format(key=key, escaped="".join(f"%{ord(char):02x}" for char in key))
        return replace(draft, raw=code(text)).with_headers(("content-type", kind), *more)

    return put


def escaped(text: str) -> str:
    """Each character as JSON may write it."""
    return "".join(f"\\u{ord(char):04x}" for char in text)


_JSON, _FORM, _FILES = "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
_PART = '--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n--b--\r\n'
BODIES: dict[str, Put] = {
    "user": _with_field("user", lambda key: key),
    "model": _with_field("model", lambda key: key),
    "messages": _with_field("messages", _said),
    "input": _with_field("input", lambda key: f"My key is {key}."),
    "metadata": _with_field("metadata", lambda key: {"deep": [{"er": f"Bearer {key}"}]}),
    "a field's name": lambda draft, key: replace(draft, body={**(draft.body or {}), key: 1}),
    "escaped": _spelled(escaped),
    "its first letter escaped": _spelled(lambda key: escaped(key[0]) + key[1:]),
    "escaped, in a text of JSON": _spelled(lambda key: escaped(key).replace("\\", "\\\\")),
    "UTF-16": _raw(_JSON, '{{"user":"{key}"}}', code=lambda text: text.encode("utf-16")),
    "packed": _raw(
        _JSON, '{{"user":"{key}"}}', ("content-encoding", "gzip"), code=lambda text: gzip.compress(text.encode())
    ),
    "not JSON": _raw(_JSON, "key={key}"),
    "text": _raw("text/plain", "{key}"),
    "bytes": _raw("application/octet-stream", "\0\1{key}\2"),
    "a form": _raw(_FORM, "key={key}&model=gpt-4o-mini"),
    "a form, escaped": _raw(_FORM, "key={escaped}&model=gpt-4o-mini"),
    "files": _raw(_FILES, _PART.format(name="prompt", value="{key}")),
    "files, a part's name": _raw(_FILES, _PART.format(name="{key}", value="a")),
}
SOME_BODIES = ("user", "escaped", "packed", "not JSON", "a form", "files")
"""Enough of them where nothing is open."""
