"""TLS over real sockets: rotated without a restart, never below the minimum, clients asked for their certificate."""

from __future__ import annotations

import socket
import ssl
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import trustme

from maas_api.edge.connections import tls
from maas_api.observability import metrics
from tests.support.process import Running, running
from tests.support.wait import until


def write(ca: trustme.CA, folder: Path) -> tls.Files:
    """A fresh certificate for loopback, moved into place as a mounted Secret is."""
    cert = ca.issue_cert("localhost", "127.0.0.1")
    files = tls.Files(folder / "tls.crt", folder / "tls.key")
    for path, blob in (
        (files.cert, b"".join(one.bytes() for one in cert.cert_chain_pems)),
        (files.key, cert.private_key_pem.bytes()),
    ):
        fresh = path.with_suffix(".new")
        fresh.write_bytes(blob)
        fresh.replace(path)
    return files


def serial(port: int, trusted: ssl.SSLContext) -> str:
    with (
        socket.create_connection(("127.0.0.1", port), 5) as raw,
        trusted.wrap_socket(raw, server_hostname="localhost") as sock,
    ):
        found = sock.getpeercert()
        assert found is not None
        return str(found["serialNumber"])


@pytest.fixture
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


@pytest.fixture
def service(tmp_path: Path, ca: trustme.CA) -> Iterator[Running]:
    files = write(ca, tmp_path)
    client_ca = tmp_path / "clients.pem"
    ca.cert_pem.write_to_path(client_ca)
    flags = ("--tls-cert", str(files.cert), "--tls-key", str(files.key), "--workers", "1", "--tls-min-version", "1.3")
    with running(tmp_path, *flags, scheme="https") as started:
        yield started


def test_a_rotated_certificate_is_used_by_new_connections_while_old_ones_live(
    tmp_path: Path, ca: trustme.CA, trusted: ssl.SSLContext, service: Running
) -> None:
    first = serial(service.port, trusted)
    with httpx.Client(base_url=service.url, verify=trusted) as kept:
        answer = kept.get("/health")
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"]
        write(ca, tmp_path)
        until(lambda: serial(service.port, trusted) != first, what="the new certificate is served", seconds=15)
        assert kept.get("/health").status_code == 200
    assert service.metric("maas_api_tls_certificate_expiry_timestamp_seconds") > 0
    assert "TLS certificate reloaded" in service.log()


def test_nothing_below_the_minimum_version_is_spoken(service: Running, ca: trustme.CA) -> None:
    old = ssl.create_default_context()
    ca.configure_trust(old)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match=r"(?i)version|alert|EOF"):
        serial(service.port, old)


def test_plain_http_on_the_tls_port_gets_no_answer(service: Running) -> None:
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://127.0.0.1:{service.port}/health")


def test_client_certificates_are_required_where_a_ca_is_given(
    tmp_path: Path, ca: trustme.CA, trusted: ssl.SSLContext
) -> None:
    files = write(ca, tmp_path)
    client_ca = tmp_path / "clients.pem"
    ca.cert_pem.write_to_path(client_ca)
    flags = (
        "--tls-cert",
        str(files.cert),
        "--tls-key",
        str(files.key),
        "--tls-client-ca",
        str(client_ca),
        "--workers",
        "1",
    )
    with running(tmp_path, *flags, scheme="https", wait=False) as service:
        known = ssl.create_default_context()
        ca.configure_trust(known)
        ca.issue_cert("client@example.test").configure_cert(known)
        until(lambda: _answers(service, known), what="a known client is answered", seconds=30)
        stranger = ssl.create_default_context()
        ca.configure_trust(stranger)
        other = trustme.CA()
        other.issue_cert("client@example.test").configure_cert(stranger)
        assert not _answers(service, stranger)
        assert not _answers(service, trusted)


def _answers(service: Running, context: ssl.SSLContext) -> bool:
    assert service.process.poll() is None, service.log()
    try:
        return httpx.get(service.url + "/health", verify=context).status_code == 200
    except httpx.TransportError:
        return False


def test_a_self_signed_certificate_is_made_once_for_all_workers(tmp_path: Path) -> None:
    with running(tmp_path, "--tls-self-signed", "--workers", "2", scheme="https") as service:
        seen = {ssl.get_server_certificate(("127.0.0.1", service.port)) for _ in range(8)}
        assert len(seen) == 1
        trusting = ssl.create_default_context(cadata=seen.pop())
        assert httpx.get(service.url + "/health", verify=trusting).status_code == 200


def test_a_rotation_half_way_through_keeps_the_old_pair(tmp_path: Path, ca: trustme.CA) -> None:
    files = write(ca, tmp_path)
    reloading = tls.Reloading(files, "1.2")
    before = reloading._current
    failures = metrics.tls_reloads.labels("failure").value
    ca.issue_cert("localhost").private_key_pem.write_to_path(files.key)  # a key that is not this certificate's
    reloading.check()
    reloading.check()
    assert reloading._current is before
    assert metrics.tls_reloads.labels("failure").value == failures + 1, "reported once, not at every look"
    write(ca, tmp_path)
    reloading.check()
    assert reloading._current is not before


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_files_that_are_no_certificate_are_refused_by_name(tmp_path: Path, content: bytes) -> None:
    files = tls.Files(tmp_path / "tls.crt", tmp_path / "tls.key")
    files.cert.write_bytes(content)
    files.key.write_bytes(content)
    with pytest.raises(tls.TlsError, match=r"tls\.crt"):
        tls.context(files, "1.2")


def test_the_self_made_key_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    files = tls.self_signed(tmp_path, ("gateway", "127.0.0.1"))
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    assert tls.context(files, "1.3")
    assert tls.expires_at(files.cert) > 0


def test_an_idle_client_and_one_that_never_greets_do_not_hold_up_the_end(
    tmp_path: Path, ca: trustme.CA, trusted: ssl.SSLContext
) -> None:
    files = write(ca, tmp_path)
    flags = ("--tls-cert", str(files.cert), "--tls-key", str(files.key), "--graceful-timeout", "60")
    with running(tmp_path, *flags, scheme="https") as service, ExitStack() as held:
        held.enter_context(socket.create_connection(("127.0.0.1", service.port), 5))
        raw = held.enter_context(socket.create_connection(("127.0.0.1", service.port), 5))
        idle = held.enter_context(trusted.wrap_socket(raw, server_hostname="localhost"))
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(100).startswith(b"HTTP/1.1 200")
        assert service.stop(seconds=20) == 0
