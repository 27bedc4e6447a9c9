"""The gateway's filter for requests, run as Envoy runs it (LuaJIT) on one request."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from lupa import luajit21

Headers = dict[str, str]

_PAIRS = b"""
local real = pairs
function pairs(what) if what.all then return real(what.all()) end return real(what) end
"""
# Methods are called with a colon, so each takes the object itself first.
_HANDLE = b"""function(lines, text, trailers, answer, write)
    local function wrapped(lines) return {
        get = lines.get, replace = lines.replace, remove = lines.remove,
        all = function() local found = {} for name, value in python.iter(lines.items()) do found[name] = value end
            return found end,
    } end
    return {
        headers = function() return wrapped(lines) end,
        trailers = function() return trailers and wrapped(trailers) end,
        body = function()
            if text == nil then return nil end
            return {
                length = function() return #text end,
                getBytes = function(_, from, n) return text end,
                setBytes = function(_, written) write(written) return #written end,
            }
        end,
        respond = function(_, headers, body) answer(headers[":status"], body) end,
    }
end"""


class Lines:
    """Envoy's header object, as far as the filter uses it."""

    def __init__(self, lines: Headers) -> None:
        self.lines = lines

    def get(self, _self: object, name: bytes) -> bytes | None:
        """One line's value."""
        value = self.lines.get(name.decode())
        return None if value is None else value.encode()

    def remove(self, _self: object, name: bytes) -> None:
        """Drop it."""
        self.lines.pop(name.decode(), None)

    def replace(self, _self: object, name: bytes, value: bytes) -> None:
        """Set it."""
        self.lines[name.decode()] = value.decode("utf-8", "surrogateescape")

    def items(self) -> list[tuple[bytes, bytes]]:
        """All of them."""
        return [(name.encode(), value.encode()) for name, value in self.lines.items()]


class Outcome(NamedTuple):
    """The request as it goes on, what of its trailers is left, or the answer in its place."""

    headers: Headers
    trailers: Headers
    refused: tuple[int, dict[str, Any]] | None
    body: bytes | None
    """As it goes on."""


def loaded(code: str) -> Callable[..., Outcome]:
    """A function: body, headers, trailers -> what the filter makes of them."""
    lua = luajit21.LuaRuntime(encoding=None, unpack_returned_tuples=True)
    lua.execute(_PAIRS + code.encode())
    handle, entry = lua.eval(_HANDLE), lua.globals()[b"envoy_on_request"]

    def run(body: bytes | None, headers: Headers, trailers: Headers | None = None) -> Outcome:
        lines, late = Lines(dict(headers)), Lines(dict(trailers or {}))
        answers: list[tuple[int, dict[str, Any]]] = []

        def answer(status: bytes, text: bytes) -> None:
            answers.append((int(status), json.loads(text)["error"]))

        written = [body]
        entry(handle(lines, body, late if trailers else None, answer, written.append))
        return Outcome(lines.lines, late.lines, answers[0] if answers else None, written[-1])

    return run
