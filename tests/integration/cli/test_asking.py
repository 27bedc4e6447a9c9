"""The commands that ask a running service: the cleanup job's and the image's health check."""

from __future__ import annotations

import datetime
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import sqlalchemy as sa
import trustme
from click.testing import CliRunner, Result

from maas_api.app import build
from maas_api.cli import main
from maas_api.config import load
from tests.support.serving import serving

ALICE = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["team-a"]'}


class Running(NamedTuple):
    """A service that asks for a shared secret: where it is, the secret's file, its database."""

    base: str
    secret: Path
    database: Path

    @property
    def environment(self) -> dict[str, str]:
        """What `maas-api serve` was told, as far as the health check needs it."""
        return {"ADDRESS": self.base.removeprefix("http://")}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The service over a real socket, without TLS."""
    folder: Path = tmp_path_factory.mktemp("asking")
    secret = folder / "secret"
    secret.write_text("opens-the-internal-door\n")
    flags = {
        "sqlite_path": str(folder / "keys.db"),
        "kubernetes": "off",
        "default_subscription": "default",
        "internal_secret_file": str(secret),
    }
    with serving(build(load(flags, {}))) as base:
        yield Running(base, secret, folder / "keys.db")


def run(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(main, list(words), env=environment)


def test_expired_ephemeral_keys_are_removed_by_the_job(running: Running) -> None:
    with httpx.Client(base_url=running.base, headers=ALICE) as client:
        ids = [client.post("/v1/api-keys", json={"ephemeral": True}).json()["id"] for _ in range(3)]
    long_ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=2)
    engine = sa.create_engine(f"sqlite:///{running.database}")
    with engine.begin() as connection:
        moved = connection.execute(
            sa.text("UPDATE api_keys SET expires_at = :then WHERE id IN (:first, :second)"),
            {"then": long_ago.strftime("%Y-%m-%d %H:%M:%S.%f"), "first": ids[0], "second": ids[1]},
        )
        assert moved.rowcount == 2
    engine.dispose()
    words = ("cleanup", "--url", running.base, "--internal-secret-file", str(running.secret))
    assert run(*words).output == "Successfully deleted 2 expired ephemeral key(s)\n"
    assert run(*words).output == "Successfully deleted 0 expired ephemeral key(s)\n"
    with httpx.Client(base_url=running.base, headers=ALICE) as client:
        assert [client.get(f"/v1/api-keys/{key}").status_code for key in ids] == [404, 404, 200]


def test_a_job_that_is_refused_fails_with_the_reason(running: Running, tmp_path: Path) -> None:
    done = run("cleanup", "--url", running.base)
    assert done.exit_code == 1
    assert done.output == f"Error: POST {running.base}/internal/v1/api-keys/cleanup: answered 401\n"
    wrong = tmp_path / "wrong"
    wrong.write_text("knocks")
    done = run("cleanup", "--url", running.base, "--internal-secret-file", str(wrong))
    assert done.exit_code == 1
    assert "knocks" not in done.output


def test_a_job_that_finds_nobody_says_so() -> None:
    done = run("cleanup", "--url", "http://127.0.0.1:1")
    assert done.exit_code == 1
    assert "Connection refused" in done.output


@pytest.mark.parametrize("url", ["maas-api:8443", "ftp://maas-api", "https://"])
def test_a_job_with_an_address_that_is_none_is_told_the_rule(url: str) -> None:
    done = run("cleanup", "--url", url)
    assert done.exit_code == 2
    assert "must be http://host:port or https://host:port" in done.output


def test_the_health_check_finds_the_service_by_its_own_variables(running: Running) -> None:
    done = run("healthcheck", **running.environment)
    assert (done.exit_code, done.output) == (0, "ready\n")
    assert run("healthcheck", ADDRESS="127.0.0.1:1").exit_code == 1


def test_a_certificate_is_verified_unless_told_otherwise(tmp_path: Path) -> None:
    """Over TLS: unknown authority refused, known one and --insecure accepted (and then the service says its own)."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = b'{"deletedCount":0,"message":"done"}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Silence."""

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_arguments: None  # type: ignore[method-assign]  # a refused handshake is expected
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        url = f"https://127.0.0.1:{server.server_address[1]}"
        refused = run("cleanup", "--url", url)
        assert refused.exit_code == 1
        assert "CERTIFICATE_VERIFY_FAILED" in refused.output
        for trust in (("--ca-file", str(tmp_path / "ca.pem")), ("--insecure",)):
            assert run("cleanup", "--url", url, *trust).output == "done\n"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
