"""No client holds more of the server than its share: time, bytes, connections."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock

import httpx
import pytest
import uvicorn
from uvicorn.server import ServerState

from maas_api.app import build
from maas_api.config import load
from maas_api.edge.limits import Limits
from maas_api.edge.protocol import BoundedProtocol
from tests.support.raw import connect, exchange, hear
from tests.support.serving import serving

MAX_HEADERS = 8192


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("bounds")
    flags = {
        "sqlite_path": str(folder / "keys.db"),
        "manifests": str(folder),
        "kubernetes": "off",
        "header_timeout_seconds": "0.2",
        "body_timeout_seconds": "0.4",
        "max_header_bytes": str(MAX_HEADERS),
        "keep_alive": "1",
    }
    with serving(build(load(flags, {}))) as url:
        yield url


@pytest.mark.parametrize("sent", [b"G", b"GET /health HTTP/1.1\r\n", b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: "])
def test_headers_that_trickle_are_408(base: str, sent: bytes) -> None:
    with connect(base) as sock:
        sock.sendall(sent)
        said = hear(sock)
    assert said.closed
    assert said.statuses == [408]
    assert json.loads(said.data.rpartition(b"\r\n\r\n")[2]) == {"error": "request headers took longer than 0.2 s"}


def test_a_body_that_trickles_is_408_and_its_handler_says_nothing_more(base: str) -> None:
    with connect(base) as sock:
        sock.sendall(b"POST /v1/api-keys HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        said = hear(sock)
    assert said.closed
    assert said.statuses == [408]
    assert b"the request took longer than 0.4 s" in said.data


def test_a_connection_that_never_speaks_is_closed(base: str) -> None:
    with connect(base) as sock:
        said = hear(sock)
    assert said == (b"", True)


def test_a_slow_second_request_on_a_kept_connection_is_408(base: str) -> None:
    with connect(base) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /hea")
        said = hear(sock)
    assert said.closed
    assert said.statuses in ([200, 408], [200])  # cut off without a word if the first answer was still under way


@pytest.mark.parametrize("ended", [True, False], ids=["whole", "endless"])
def test_headers_above_the_limit_are_431_naming_it(base: str, ended: bool) -> None:
    data = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Big: " + b"a" * (MAX_HEADERS + 100) + (b"\r\n\r\n" if ended else b"")
    with connect(base) as sock:
        sock.sendall(data)
        said = hear(sock)
    assert said.statuses == [431]
    assert f"must not exceed {MAX_HEADERS} bytes".encode() in said.data


def test_many_small_headers_count_together(base: str) -> None:
    many = b"".join(b"X-%d: aaaaaaaaaaaaaaaa\r\n" % number for number in range(1000))
    assert exchange(base, b"GET /health HTTP/1.1\r\nHost: x\r\n" + many + b"\r\n").statuses == [431]


def test_headers_without_end_in_number_are_431_however_short(base: str) -> None:
    many = b"a:\r\n" * 1000
    said = exchange(base, b"GET /health HTTP/1.1\r\nHost: x\r\n" + many + b"\r\n")
    assert said.statuses == [431]
    assert b"must not have more than 200 headers" in said.data


def test_headers_below_the_limit_pass(base: str) -> None:
    answer = httpx.get(base + "/health", headers={"X-Big": "a" * (MAX_HEADERS - 500)})
    assert answer.status_code == 200


def test_a_long_body_behind_short_headers_is_not_mistaken_for_headers(base: str) -> None:
    answer = httpx.post(base + "/internal/v1/api-keys/validate", content=b'{"key":"' + b"a" * 3 * MAX_HEADERS + b'"}')
    assert (answer.status_code, answer.json()["valid"]) == (200, False)


def test_a_client_that_does_not_read_is_cut_off() -> None:
    async def scenario() -> list[str]:
        loop = asyncio.get_running_loop()
        config = uvicorn.Config(MagicMock(), log_config=None)
        config.load()
        limits = Limits(8192, 5, 15, write_seconds=0.01, idle_seconds=60, connections=10)
        protocol = BoundedProtocol(
            config=config, server_state=ServerState(), app_state={}, limits=limits, shortcut=lambda: None, _loop=loop
        )
        transport: Any = MagicMock(spec=asyncio.Transport)
        transport.get_extra_info.return_value = None
        done = loop.create_future()
        transport.abort.side_effect = lambda: done.set_result(["aborted"])
        protocol.connection_made(transport)
        protocol.pause_writing()
        protocol.resume_writing()  # in time: nothing happens
        protocol.pause_writing()
        said: list[str] = await asyncio.wait_for(done, 5)
        protocol.connection_lost(None)
        return said

    assert asyncio.run(scenario()) == ["aborted"]
