"""The filter before the question to the authorizer: it keeps our keys out of requests to models (``keys.lua`` beside
this file), and reads which model a body names (``model_name.lua``)."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

from maas_api.access import named
from maas_api.gateway.envoy.plan import RESERVED
from maas_api.gateway.envoy.secrecy import KEY_SHAPE
from maas_api.gateway.envoy.xds import Json, extension, typed
from maas_api.providers import CREDENTIAL_HEADERS

LUA = "envoy.filters.http.lua"
_PER_ROUTE = "envoy.extensions.filters.http.lua.v3.LuaPerRoute"
_NAMELESS = "keys alone"


def body_reader(*, include_usage: bool = False) -> Json:
    """The filter, at work on every route that does not switch it off. ``include_usage``: streams of Chat and
    Completions are asked for their usage where the client did not say whether it wants it."""
    return extension(
        LUA,
        "envoy.extensions.filters.http.lua.v3.Lua",
        default_source_code={"inline_string": source(include_usage=include_usage)},
    )


def several_readers(*, include_usage: bool = False) -> Json:
    """The same where routes may ask for :func:`nameless`."""
    reader = body_reader(include_usage=include_usage)
    reader["typed_config"]["source_codes"] = {_NAMELESS: {"inline_string": _keys() + _ALONE}}
    return reader


def nameless() -> Json:
    """A route's configuration where the path says which model runs: its bodies are looked through for keys alone."""
    return {LUA: typed(_PER_ROUTE, name=_NAMELESS)}


def unread() -> Json:
    """A route's configuration where no body is read, and so none is held back: it leads to no model."""
    return {LUA: typed(_PER_ROUTE, disabled=True)}


_ALONE = """
function envoy_on_request(handle) without_keys(handle) end
"""


_KEEPER = """
-- Behind every policy: a model's server is not shown the key that opened the way to it.
function envoy_on_request(handle)
  local headers = handle:headers()
  local path = headers:get(":path")
  for _, own in ipairs(OWN) do
    if string.sub(path, 1, #own) == own then return end
  end
  for _, name in ipairs(CREDENTIALS) do
    local value = headers:get(name)
    if value and string.find(value, SHAPE, 1, true) then headers:remove(name) end
  end
end
"""


def keeper() -> str:
    """The code of a filter that drops API keys from calls to models in the cluster, by their paths."""
    lists = {"OWN": RESERVED, "CREDENTIALS": CREDENTIAL_HEADERS}
    head = "".join(f"local {name} = {{ {', '.join(map(_text, items))} }}\n" for name, items in lists.items())
    return f"local SHAPE = {_text(KEY_SHAPE)}\n{head}{_KEEPER}"


@cache
def source(*, include_usage: bool = False) -> str:
    """The filter's code."""
    head = "local INCLUDE_USAGE = true\n" if include_usage else ""
    return f"{_keys()}\n{head}{_code('model_name.lua')}"


@cache
def _keys() -> str:
    refusals = ", ".join(f"{why} = {{ {_text(status)}, {_text(body)} }}" for why, status, body in _refusals())
    return f"local SHAPE = {_text(KEY_SHAPE)}\nlocal REFUSALS = {{ {refusals} }}\n{_code('keys.lua')}"


def _refusals() -> list[tuple[str, str, str]]:
    refusals = {
        "path": named.key_in_request("path or query"),
        "host": named.key_in_request("host"),
        "key": named.key_in_request("body"),
        **{why: named.unsearchable(why) for why in named.UNSEARCHABLE},
    }
    return [(why, str(refusal.status), refusal.reply().body.decode()) for why, refusal in refusals.items()]


def _code(name: str) -> str:
    return resources.files("maas_api.gateway.envoy").joinpath(name).read_text("utf-8")


def _text(text: str) -> str:
    """As Lua writes it: like JSON, where all is ASCII."""
    return json.dumps(text)
