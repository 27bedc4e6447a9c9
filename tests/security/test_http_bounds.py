"""Every bound that can be set holds on a real connection; how each of them is kept, tests/unit/edge tells."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from maas_api.app import build
from maas_api.config import load
from tests.support.raw import connect, hear
from tests.support.serving import serving


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("bounds")
    flags = {
        "sqlite_path": str(folder / "keys.db"),
        "manifests": str(folder),
        "kubernetes": "off",
        "header_timeout_seconds": "0.2",
        "body_timeout_seconds": "0.4",
        "max_header_bytes": "8192",
        "keep_alive": "1",
    }
    with serving(build(load(flags, {}))) as url:
        yield url


MINT = b"POST /v1/api-keys HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
HEAD = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Big: "


@pytest.mark.parametrize(
    ("sent", "statuses", "message"),
    [
        pytest.param(HEAD, [408], b'{"error":"request headers took longer than 0.2 s"}', id="header_timeout_seconds"),
        pytest.param(MINT, [408], b'{"error":"the request took longer than 0.4 s"}', id="body_timeout_seconds"),
        pytest.param(HEAD + b"a" * 8192, [431], b"must not exceed 8192 bytes", id="max_header_bytes"),
        pytest.param(b"", [], b"", id="keep_alive"),
    ],
)
def test_a_setting_bounds_a_connection(base: str, sent: bytes, statuses: list[int], message: bytes) -> None:
    with connect(base) as sock:
        sock.sendall(sent)
        said = hear(sock)
    assert said.closed
    assert said.statuses == statuses
    assert message in said.data
