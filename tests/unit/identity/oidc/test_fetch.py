"""An issuer's documents: every way in which reading them can fail says of which document, and why."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
import requests_mock

from maas_api.demo.certificates import Authority
from maas_api.identity.oidc import fetch
from maas_api.identity.oidc.fetch import MAX_DISCOVERY, MAX_JWKS, WELL_KNOWN, Fetch, FetchError
from maas_api.identity.oidc.issuer import Issuer
from tests.support.issuer import issuers, jwk, rsa_key

URL = "https://issuer.example.com/realms/one"
KEYS = "https://keys.example.com/one"
DISCOVERY = {"issuer": URL, "jwks_uri": KEYS}
JWKS = {"keys": [jwk(rsa_key(), "k1", alg="RS256")]}


class Web:
    """An issuer's two documents, as a test wants them."""

    def __init__(self, mock: requests_mock.Mocker) -> None:
        self._mock = mock
        self.now = 0.0
        self.discovery(json=DISCOVERY)
        self.jwks(json=JWKS)
        self.fetch = Fetch(Issuer(URL, ("maas",)), clock=lambda: self.now)

    def discovery(self, **answer: Any) -> None:
        self._mock.get(URL + WELL_KNOWN, **answer)

    def jwks(self, **answer: Any) -> None:
        self._mock.get(KEYS, **answer)

    @property
    def asked(self) -> list[str]:
        return [request.url for request in self._mock.request_history]


@pytest.fixture
def web() -> Iterator[Web]:
    with requests_mock.Mocker() as mock:
        yield Web(mock)


def test_the_keys_are_where_discovery_says(web: Web) -> None:
    assert set(web.fetch().keys) == {"k1"}
    assert web.asked == [URL + WELL_KNOWN, KEYS]


def test_where_they_are_is_asked_again_after_an_hour_or_a_failure_and_not_before(web: Web) -> None:
    web.fetch()
    web.fetch()
    assert web.asked.count(URL + WELL_KNOWN) == 1
    web.now = 3601
    web.fetch()
    assert web.asked.count(URL + WELL_KNOWN) == 2
    web.jwks(status_code=404)
    with pytest.raises(FetchError):
        web.fetch()
    with pytest.raises(FetchError):
        web.fetch()
    assert web.asked.count(URL + WELL_KNOWN) == 3


def test_an_issuer_that_ends_in_a_slash_has_its_document_below_it(web: Web) -> None:
    web.discovery(json={"issuer": URL + "/", "jwks_uri": KEYS})
    assert Fetch(Issuer(URL + "/", ("maas",)))().keys


def test_nothing_of_netrc_is_sent(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine issuer.example.com login someone password hidden\n")
    monkeypatch.setenv("NETRC", str(netrc))
    web.fetch()
    assert all("Authorization" not in request.headers for request in web._mock.request_history)


FAULTS = [
    ("discovery", {"exc": requests.ConnectTimeout}, "discovery: .* cannot be reached: ConnectTimeout"),
    ("discovery", {"exc": requests.ReadTimeout}, "discovery: .* cannot be reached: ReadTimeout"),
    ("discovery", {"exc": requests.exceptions.SSLError}, "discovery: .* cannot be reached: SSLError"),
    ("discovery", {"status_code": 404}, "discovery: .* answers 404, not 200"),
    ("discovery", {"status_code": 500}, "discovery: .* answers 500, not 200"),
    ("discovery", {"status_code": 302, "headers": {"Location": KEYS}}, "discovery: .* answers 302, not 200"),
    ("discovery", {"text": ""}, "discovery: must be a JSON object"),
    ("discovery", {"text": "<html>"}, "discovery: must be a JSON object"),
    ("discovery", {"json": [DISCOVERY]}, "discovery: must be a JSON object"),
    ("discovery", {"content": b"\xff\xfe"}, "discovery: must be a JSON object"),
    ("discovery", {"text": '{"issuer":"a","issuer":"b"}'}, "discovery: a member is there twice"),
    ("discovery", {"text": " " * (MAX_DISCOVERY + 1)}, "discovery: must be of at most 65536 bytes"),
    ("discovery", {"json": {**DISCOVERY, "issuer": "https://evil.example.com"}}, "discovery: issuer must be '.*', got"),
    ("discovery", {"json": {**DISCOVERY, "issuer": URL + "/"}}, "discovery: issuer must be"),
    ("discovery", {"json": {"jwks_uri": KEYS}}, "discovery: issuer must be .* got 'None'"),
    ("discovery", {"json": {"issuer": URL}}, "discovery: jwks_uri must be an https:// URL, got 'None'"),
    ("discovery", {"json": {**DISCOVERY, "jwks_uri": "http://keys.example.com"}}, "jwks_uri must be an https:// URL"),
    ("discovery", {"json": {**DISCOVERY, "jwks_uri": "file:///etc/passwd"}}, "jwks_uri must be an https:// URL"),
    ("discovery", {"json": {**DISCOVERY, "jwks_uri": "https://["}}, "jwks_uri must be an https:// URL"),
    ("discovery", {"json": {**DISCOVERY, "jwks_uri": [KEYS]}}, "jwks_uri must be an https:// URL"),
    ("jwks", {"exc": requests.ConnectionError}, "JWKS: .* cannot be reached: ConnectionError"),
    ("jwks", {"exc": requests.ReadTimeout}, "JWKS: .* cannot be reached: ReadTimeout"),
    ("jwks", {"status_code": 503}, "JWKS: .* answers 503, not 200"),
    ("jwks", {"status_code": 301, "headers": {"Location": URL}}, "JWKS: .* answers 301, not 200"),
    ("jwks", {"text": "null"}, "JWKS: must be a JSON object"),
    ("jwks", {"text": '{"keys":'}, "JWKS: must be a JSON object"),
    ("jwks", {"text": "[" * 100_000}, "JWKS: must not be nested more than 64 deep"),
    ("jwks", {"text": " " * (MAX_JWKS + 1)}, "JWKS: must be of at most 524288 bytes"),
    ("jwks", {"json": {}}, "JWKS: keys must be a list of at most 100"),
    ("jwks", {"json": {"keys": {}}}, "JWKS: keys must be a list of at most 100"),
    ("jwks", {"json": {"keys": [{}] * 101}}, "JWKS: keys must be a list of at most 100"),
    ("jwks", {"json": {"keys": []}}, "JWKS: no key can be used"),
    ("jwks", {"json": {"keys": [7]}}, "JWKS: no key can be used; key 1: must be an object"),
    ("jwks", {"json": {"keys": [{"kty": ["RSA"]}]}}, "key 1: neither RSA nor P-256 nor Ed25519"),
    ("jwks", {"json": {"keys": [{"kty": "EC", "crv": {}}]}}, "key 1: neither RSA nor P-256 nor Ed25519"),
    ("jwks", {"json": {"keys": [{"kty": "RSA", "kid": "a"}]}}, "key 1: cannot be read"),
    ("jwks", {"json": {"keys": [{**JWKS["keys"][0], "n": "!"}]}}, "key 1: cannot be read"),
    ("jwks", {"json": {"keys": [{**JWKS["keys"][0], "kid": 7}]}}, "key 1: kid must be text"),
    ("jwks", {"json": {"keys": [{**JWKS["keys"][0], "key_ops": 7}]}}, "key 1: is not for signatures"),
    ("jwks", {"json": {"keys": [jwk(rsa_key("short", 1024), "a")]}}, "key 1: RSA of 1024 bits, at least 2048"),
    ("jwks", {"json": {"keys": [{**JWKS["keys"][0], "alg": "RS512"}]}}, "key 1: is for another algorithm than RS256"),
]


@pytest.mark.parametrize(
    ("document", "answer", "says"), FAULTS, ids=[f"{name}-{i}" for i, (name, *_) in enumerate(FAULTS)]
)
def test_a_document_that_cannot_be_used_is_told_with_the_reason(
    web: Web, document: str, answer: dict[str, Any], says: str
) -> None:
    getattr(web, document)(**answer)
    with pytest.raises(FetchError, match=says):
        web.fetch()
    getattr(web, document)(json=DISCOVERY if document == "discovery" else JWKS)
    assert web.fetch().keys, "and once it is mended the keys are there"


def test_one_bad_key_costs_the_others_nothing_and_is_told(web: Web) -> None:
    web.jwks(json={"keys": [{"kty": "oct", "k": "AAAA"}, *JWKS["keys"]]})
    found = web.fetch()
    assert set(found.keys) == {"k1"}
    assert found.skipped == ("key 1: neither RSA nor P-256 nor Ed25519",)


def test_over_tls_the_issuer_must_be_vouched_for(tmp_path: Path) -> None:
    with issuers(tmp_path) as (ca, [one]):
        assert Fetch(Issuer(one.url, ("maas",), ca=ca))().keys
        with pytest.raises(FetchError, match="certificate verify failed"):
            Fetch(Issuer(one.url, ("maas",)))()
        stranger = Authority().write(tmp_path / "stranger.pem")
        with pytest.raises(FetchError, match="certificate verify failed"):
            Fetch(Issuer(one.url, ("maas",), ca=stranger))()


def test_nothing_listens(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="Connection refused"):
        Fetch(Issuer("https://127.0.0.1:1", ("maas",)))()


@contextmanager
def dripping(authority: Authority) -> Iterator[str]:
    """A server that sends a byte at a time, for ever."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with authority.server("127.0.0.1").wrap_socket(connection, server_side=True) as stream:
            stream.recv(4096)
            stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n")
            while not ended.wait(0.02):
                try:
                    stream.sendall(b" ")
                except OSError:
                    return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        ended.set()
        listener.close()
        thread.join(5)


def test_a_server_that_drips_does_not_hold_the_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "WHOLE_SECONDS", 0.3)
    authority = Authority()
    with dripping(authority) as url, pytest.raises(FetchError, match=r"takes longer than 0\.3 s"):
        Fetch(Issuer(url, ("maas",), ca=authority.write(tmp_path / "ca.pem")))()


def test_no_fault_shows_a_key(web: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    leaked = {**jwk(rsa_key(), "k1"), "d": "private-part-of-it"}
    web.jwks(text=json.dumps({"keys": [leaked]}))
    with pytest.raises(FetchError, match="is private, and published") as fault:
        web.fetch()
    assert "private-part-of-it" not in str(fault.value) + caplog.text
