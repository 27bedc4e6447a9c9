"""The filter that reads which model a request's body names (``model_name.lua`` beside this file)."""

from __future__ import annotations

from functools import cache
from importlib import resources

from maas_api.gateway.envoy.xds import Json, extension, typed

LUA = "envoy.filters.http.lua"


def body_reader(*, include_usage: bool = False) -> Json:
    """The filter, at work on every route that does not switch it off. ``include_usage``: streams of Chat and
    Completions are asked for their usage where the client did not say whether it wants it."""
    code = {"inline_string": source(include_usage=include_usage)}
    return extension(LUA, "envoy.extensions.filters.http.lua.v3.Lua", default_source_code=code)


def unread() -> Json:
    """A route's configuration where no body is read, and so none is held back."""
    return {LUA: typed("envoy.extensions.filters.http.lua.v3.LuaPerRoute", disabled=True)}


@cache
def source(*, include_usage: bool = False) -> str:
    """The filter's code."""
    head = "local INCLUDE_USAGE = true\n" if include_usage else ""
    return head + resources.files("maas_api.gateway.envoy").joinpath("model_name.lua").read_text("utf-8")
