"""How a cluster is reached: every way that a kubeconfig or a pod has, up to what the server sees."""

from __future__ import annotations

import base64
import json
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from maas_api.kube import credentials
from maas_api.kube.client import KubeError, RefusedError, UnreachableError, connect
from maas_api.kube.credentials import CredentialsError, TokenFile, of_kubeconfig, of_pod
from tests.support.kubeapi import Fault, KubeApi

HERE = "/apis/serving.kserve.io"


def written(folder: Path, cluster: dict[str, Any], user: dict[str, Any]) -> Path:
    file = folder / "kubeconfig"
    document = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
    }
    file.write_text(yaml.safe_dump(document))
    return file


@contextmanager
def over_tls(ca: trustme.CA, *, for_whom: str = "127.0.0.1") -> Iterator[tuple[str, list[str]]]:
    """A server of that authority's that wants a client's certificate; its URL, and the names its clients showed."""
    seen: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown = self.connection.getpeercert()  # type: ignore[attr-defined]  # it is TLS
            seen.append(str(shown["subjectAltName"][0][1]) if shown else "nobody")
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(for_whom).configure_cert(context)
    ca.configure_trust(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def data(blob: Any) -> str:
    return base64.b64encode(blob.bytes()).decode()


def test_a_certificate_in_the_file_or_beside_it_says_who_asks(tmp_path: Path) -> None:
    ca = trustme.CA()
    mine = ca.issue_cert("me.example")
    (tmp_path / "ca.pem").write_bytes(ca.cert_pem.bytes())
    (tmp_path / "me.pem").write_bytes(mine.cert_chain_pems[0].bytes())
    (tmp_path / "me.key").write_bytes(mine.private_key_pem.bytes())
    within = {"client-certificate-data": data(mine.cert_chain_pems[0]), "client-key-data": data(mine.private_key_pem)}
    with over_tls(ca) as (url, seen):
        for cluster, user in (
            ({"certificate-authority-data": data(ca.cert_pem)}, within),
            ({"certificate-authority": "ca.pem"}, {"client-certificate": "me.pem", "client-key": "me.key"}),
        ):
            assert connect(written(tmp_path, {"server": url, **cluster}, user)).get("/api") == {}
    assert seen == ["me.example", "me.example"]


def test_another_authority_or_name_is_refused_unless_it_is_told(tmp_path: Path) -> None:
    ca = trustme.CA()
    trusted = {"certificate-authority-data": data(ca.cert_pem)}
    with over_tls(ca, for_whom="api.example") as (url, _seen):
        stranger = {"certificate-authority-data": data(trustme.CA().cert_pem), "tls-server-name": "api.example"}
        for cluster in (trusted, {}, stranger):
            with pytest.raises(UnreachableError, match=r"(?i)certificate"):
                connect(written(tmp_path, {"server": url, **cluster}, {})).get("/api")
        named = {"server": url, **trusted, "tls-server-name": "api.example"}
        assert connect(written(tmp_path, named, {})).get("/api") == {}
        unchecked = connect(written(tmp_path, {"server": url, "insecure-skip-tls-verify": True}, {}))
        with pytest.warns(match="Unverified HTTPS request"):
            assert unchecked.get("/api") == {}


@pytest.mark.parametrize(
    ("user", "header"),
    [
        ({"token": "opaque"}, "Bearer opaque"),
        ({"username": "u", "password": "p"}, "Basic " + base64.b64encode(b"u:p").decode()),
        ({}, ""),
    ],
)
def test_what_a_user_has_is_what_the_server_gets(
    api: KubeApi, tmp_path: Path, user: dict[str, Any], header: str
) -> None:
    connect(written(tmp_path, {"server": api.url + "/"}, user)).get(HERE)
    assert api.authorizations == [header]


def plugin(folder: Path, *statuses: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A program that gives one status after the other, and notes what it was asked."""
    program = folder / "plugin.py"
    program.write_text(
        "import json, os, pathlib, sys\n"
        "runs = pathlib.Path('runs'); n = len(runs.read_text().splitlines()) if runs.exists() else 0\n"
        "with runs.open('a') as f: f.write(os.environ['KUBERNETES_EXEC_INFO'] + os.environ.get('MORE', '') + '\\n')\n"
        f"print(json.dumps({{'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential',"
        f" 'status': json.loads({json.dumps(json.dumps(statuses))})[n]}}))\n"
    )
    version = "client.authentication.k8s.io/v1"
    return {"exec": {"apiVersion": version, "command": sys.executable, "args": [str(program)], **spec}}


def test_a_plugins_token_serves_until_it_ends_or_is_refused(api: KubeApi, tmp_path: Path) -> None:
    ended = {"token": "first", "expirationTimestamp": "2001-01-01T00:00:00Z"}
    user = plugin(
        tmp_path,
        ended,
        {"token": "second"},
        {"token": "third"},
        env=[{"name": "MORE", "value": "of it"}],
        provideClusterInfo=True,
    )
    client = connect(written(tmp_path, {"server": api.url}, user))
    client.get("/api/v1/configmaps")
    client.get("/api/v1/configmaps")
    client.get("/api/v1/configmaps")
    api.inject(Fault("list", status=401))
    with pytest.raises(RefusedError, match="401"):
        client.get("/api/v1/configmaps")
    client.get("/api/v1/configmaps")
    assert api.authorizations == [f"Bearer {which}" for which in ("first", "second", "second", "second", "third")]
    asked = (tmp_path / "runs").read_text()
    assert api.url in asked
    assert asked.count("of it") == 3


def test_a_plugins_certificate_says_who_asks(tmp_path: Path) -> None:
    ca = trustme.CA()
    mine = ca.issue_cert("me.example")
    pair = (mine.cert_chain_pems[0].bytes().decode(), mine.private_key_pem.bytes().decode())
    user = plugin(tmp_path, dict(zip(("clientCertificateData", "clientKeyData"), pair, strict=True)))
    with over_tls(ca) as (url, seen):
        cluster = {"server": url, "certificate-authority-data": data(ca.cert_pem)}
        assert connect(written(tmp_path, cluster, user)).get("/api") == {}
    assert seen == ["me.example"]


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"exec": {"apiVersion": "v1", "command": "/nowhere/at/all"}}, "No such file"),
        ({"exec": {"apiVersion": "v1", "command": sys.executable, "args": ["-c", "exit('lost')"]}}, "with 1: lost"),
        ({"exec": {"apiVersion": "v1", "command": "echo", "args": ["{}"]}}, "not answer with an ExecCredential"),
        ({"exec": {"command": "echo"}}, "must have command and apiVersion"),
    ],
)
def test_a_plugin_that_fails_is_told_with_its_own_words(
    api: KubeApi, tmp_path: Path, user: dict[str, Any], said: str
) -> None:
    with pytest.raises(KubeError, match=said):
        connect(written(tmp_path, {"server": api.url}, user)).get(HERE)


@pytest.mark.parametrize(
    ("cluster", "user", "said"),
    [
        ({"server": "api.example"}, {}, "server must be a URL"),
        ({"server": "http://x"}, {"auth-provider": {"name": "oidc"}}, "use exec, token or tokenFile"),
        ({"server": "http://x"}, {"tokenFile": "gone"}, "No such file"),
        ({"server": "https://x", "certificate-authority-data": "!"}, {}, "certificate-authority-data is not base64"),
        ({"server": "https://x", "certificate-authority-data": "bm9uZQ=="}, {}, "not a PEM certificate"),
    ],
)
def test_what_cannot_be_used_is_said_at_the_start(
    tmp_path: Path, cluster: dict[str, Any], user: dict[str, Any], said: str
) -> None:
    with pytest.raises(KubeError, match=said):
        connect(written(tmp_path, cluster, user))


def test_a_broken_kubeconfig_is_not_quoted(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text("users:\n- token: hunter2\n  x: [\n")
    with pytest.raises(KubeError) as fault:
        connect(file)
    assert "hunter2" not in str(fault.value)


def test_a_context_without_its_cluster_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, {}, {})
    file.write_text(file.read_text().replace("cluster: c", "cluster: other"))
    with pytest.raises(CredentialsError, match="the context's cluster is 'other', and there is no such cluster"):
        of_kubeconfig(file)


def test_a_pod_asks_by_its_service_account(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(trustme.CA().cert_pem.bytes())
    (tmp_path / "token").write_text("of the pod\n")
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = of_pod(environ, tmp_path)
    assert (found.server, found.authorization()) == ("https://[fd00::1]:443", "Bearer of the pod")
    assert found.tls is not None
    assert found.tls.verify_mode == ssl.CERT_REQUIRED
    with pytest.raises(CredentialsError, match="KUBERNETES_SERVICE_HOST"):
        of_pod({}, tmp_path)


def test_a_token_file_is_read_again_each_minute_and_when_it_was_refused(tmp_path: Path) -> None:
    file, now = tmp_path / "token", [0.0]
    file.write_text("a")
    token = TokenFile(file, clock=lambda: now[0])
    assert token() == "Bearer a"
    file.write_text("b")
    assert token() == "Bearer a"
    token.refused()
    assert token() == "Bearer b"
    file.write_text("c")
    now[0] += credentials.TOKEN_FILE_SECONDS
    assert token() == "Bearer c"
    file.write_text("")
    token.refused()
    with pytest.raises(CredentialsError, match="is empty"):
        token()
