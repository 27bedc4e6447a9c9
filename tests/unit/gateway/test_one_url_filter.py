"""The filter behind the policies: a call at the root goes on to the path of the route that was chosen for it."""

from __future__ import annotations

import pytest
from lupa import luajit21

from maas_api.gateway.manifests.oneurl import source
from tests.support.manifests import TARGETS

ROOT = "/v1/chat/completions"


class Headers:
    """A request's headers as the filter has them."""

    def __init__(self, lines: dict[bytes, bytes]) -> None:
        self.lines = lines

    def get(self, _self: object, name: bytes) -> bytes | None:
        return self.lines.get(name)

    def remove(self, _self: object, name: bytes) -> None:
        self.lines.pop(name, None)

    def replace(self, _self: object, name: bytes, value: bytes) -> None:
        self.lines[name] = value


def sent_on(path: str, route: str | None, method: str = "POST") -> str:
    """The path of a request behind the filter."""
    lua = luajit21.LuaRuntime(encoding=None)
    lua.execute(source([TARGETS["openai"], TARGETS["azure"]]).encode())
    headers = Headers({b":path": path.encode(), b":method": method.encode()})
    if route is not None:
        headers.lines[b"x-maas-route"] = route.encode()
    handle = lua.table_from({b"headers": lambda _self: lua.table_from(_methods(headers))})
    lua.globals()[b"envoy_on_request"](handle)
    assert b"x-maas-route" not in headers.lines, "it is for nobody behind the gateway"
    return headers.lines[b":path"].decode()


def _methods(headers: Headers) -> dict[bytes, object]:
    return {b"get": headers.get, b"remove": headers.remove, b"replace": headers.replace}


@pytest.mark.parametrize(
    ("path", "route", "expected"),
    [
        (ROOT, "external/openai", "/external/openai/v1/chat/completions"),
        (f"{ROOT}?beta=true", "external/openai", "/external/openai/v1/chat/completions?beta=true"),
        (f"{ROOT}?a=/v1/x?y", "external/openai", "/external/openai/v1/chat/completions?a=/v1/x?y"),
        ("/v1/messages/count_tokens", "external/anthropic", "/external/anthropic/v1/messages/count_tokens"),
        ("/v1/responses", "external/azure", "/external/azure/openai/v1/responses"),
        (ROOT, "llm/opt", "/llm/opt/v1/chat/completions"),
    ],
)
def test_a_call_goes_to_the_path_of_its_models_own_route(path: str, route: str, expected: str) -> None:
    assert sent_on(path, route) == expected


@pytest.mark.parametrize(
    ("path", "route", "method"),
    [
        (ROOT, None, "POST"),
        (ROOT, "external/openai", "GET"),
        ("/v1/files", "external/openai", "POST"),
        (f"{ROOT}/x", "external/openai", "POST"),
        ("/v1/api-keys", "external/openai", "POST"),
        ("/external/openai/v1/files", "external/openai", "POST"),
    ],
)
def test_anything_else_stays_where_it_is(path: str, route: str | None, method: str) -> None:
    assert sent_on(path, route, method) == path
