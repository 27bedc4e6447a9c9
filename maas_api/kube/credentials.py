"""How an API server is reached and who asks: a kubeconfig's current context, or a pod's service account.

What kubectl reads of a kubeconfig is read here, but for ``auth-provider``, which kubectl dropped in 1.26. Every way to
ask is a callable that gives the Authorization header now, so that rotated files and tokens that end are followed.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import yaml

TOKEN_FILE_SECONDS = 60.0
"""How long a token file is trusted before it is read again."""
PLUGIN_SECONDS = 60.0
"""How long a credential plugin may take, and how long before its token's end it is run again."""

POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class CredentialsError(Exception):
    """Credentials that cannot be used. The message names what is wrong and never holds a secret."""


class Authorization(Protocol):
    """The Authorization header's value. Safe from any thread. Raises CredentialsError and OSError."""

    def __call__(self) -> str:
        """The value now, "" for none."""

    def refused(self) -> None:
        """The server did not take it (401): the next value is a fresh one."""


class Credentials(NamedTuple):
    """``server``: URL without a slash at its end. ``tls``: None where the URL is not https. ``server_name``: what its
    certificate is for, where that is not the URL's host. ``proxy``: URL of one in between."""

    server: str
    authorization: Authorization
    tls: ssl.SSLContext | None = None
    server_name: str = ""
    proxy: str = ""


def in_cluster(environ: Mapping[str, str]) -> bool:
    """Whether this process runs in a pod, by the variable every pod has."""
    return bool(environ.get("KUBERNETES_SERVICE_HOST"))


def of_pod(environ: Mapping[str, str], folder: Path = POD) -> Credentials:
    """Those of the pod's service account. Raises CredentialsError and OSError."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    if not host or not port:
        raise CredentialsError("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set")
    server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    token = TokenFile(folder / "token")
    token()
    return Credentials(server, token, _context((folder / "ca.crt").read_text("utf-8")))


def of_kubeconfig(path: Path) -> Credentials:
    """Those of the file's current context. Raises CredentialsError and OSError."""
    document = _document(path)
    context = _entry(document, "context", document.get("current-context"), "current-context")
    cluster = _entry(document, "cluster", context.get("cluster"), "the context's cluster")
    user: Mapping[str, Any] = {}
    if any(item.get("name") == context.get("user") for item in _list(document, "users")):
        user = _entry(document, "user", context.get("user"), "the context's user")
    server = str(cluster.get("server") or "").rstrip("/")
    if not server.startswith(("http://", "https://")):
        raise CredentialsError("the cluster's server must be a URL that starts with https:// or http://")
    folder = path.absolute().parent
    plugin = Plugin(user["exec"], cluster, folder) if "exec" in user and not _has_token(user) else None
    return Credentials(
        server,
        plugin or _fixed(user, folder),
        _tls(cluster, user, folder, plugin) if server.startswith("https://") else None,
        str(cluster.get("tls-server-name") or ""),
        str(cluster.get("proxy-url") or ""),
    )


# -- who asks


class Fixed:
    """Always the same; "" for nobody."""

    def __init__(self, value: str = "") -> None:
        self._value = value

    def __call__(self) -> str:
        """The value."""
        return self._value

    def refused(self) -> None:
        """There is no other."""


class TokenFile:
    """A bearer token in a file that others replace."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._held = ("", 0.0)  # the value, and until when

    def __call__(self) -> str:
        """The value, read again once a minute."""
        value, until = self._held
        now = self._clock()
        if not value or now >= until:
            text = self._path.read_text("utf-8").strip()
            if not text:
                raise CredentialsError(f"the token file {self._path} is empty")
            value = f"Bearer {text}"
            self._held = (value, now + TOKEN_FILE_SECONDS)
        return value

    def refused(self) -> None:
        """Read the file at the next request."""
        self._held = ("", 0.0)


class Plugin:
    """A program that gives credentials (``exec``), run when its token is about to end or was refused."""

    def __init__(self, spec: Mapping[str, Any], cluster: Mapping[str, Any], folder: Path) -> None:
        if not isinstance(spec, Mapping) or not spec.get("command") or not spec.get("apiVersion"):
            raise CredentialsError("exec: must have command and apiVersion")
        self._spec = spec
        self._cluster = cluster
        self._folder = folder
        self._lock = threading.Lock()
        self._token = ""
        self._ends: float | None = None
        self.pair = ("", "")
        """Certificate and key as PEM, where it gave them at the first run; they are not followed."""

    def __call__(self) -> str:
        """The value; runs the program where that is due."""
        with self._lock:
            if not (self._token or self.pair[0]) or (self._ends is not None and time.time() >= self._ends):
                self._run()
            return f"Bearer {self._token}" if self._token else ""

    def refused(self) -> None:
        """Run the program at the next request."""
        with self._lock:
            self._token = ""

    def _run(self) -> None:
        more = {str(item["name"]): str(item["value"]) for item in self._spec.get("env") or ()}
        asked: dict[str, Any] = {"interactive": False}
        if self._spec.get("provideClusterInfo"):
            asked["cluster"] = dict(self._cluster)
            for extension in self._cluster.get("extensions") or ():
                if extension.get("name") == "client.authentication.k8s.io/exec":
                    asked["cluster"]["config"] = extension.get("extension")
        info = {"apiVersion": self._spec["apiVersion"], "kind": "ExecCredential", "spec": asked}
        done = subprocess.run(  # noqa: S603 -- the program that the operator's kubeconfig names
            [str(self._spec["command"]), *map(str, self._spec.get("args") or ())],
            cwd=self._folder,
            env={**os.environ, **more, "KUBERNETES_EXEC_INFO": json.dumps(info)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PLUGIN_SECONDS,
            check=False,
        )
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()[:1]
            raise CredentialsError(f"exec: {self._spec['command']} ended with {done.returncode}: {''.join(said)[:200]}")
        self._take(done.stdout)

    def _take(self, output: bytes) -> None:
        try:
            answer = json.loads(output)
            status = answer["status"]
            self._token = str(status.get("token") or "")
            self.pair = (str(status.get("clientCertificateData") or ""), str(status.get("clientKeyData") or ""))
            ends = status.get("expirationTimestamp")
            self._ends = None if not ends else _seconds(str(ends)) - PLUGIN_SECONDS
        except (ValueError, KeyError, TypeError, AttributeError):
            raise CredentialsError(f"exec: {self._spec['command']} did not answer with an ExecCredential") from None
        if answer.get("apiVersion") != self._spec["apiVersion"]:
            raise CredentialsError(f"exec: {self._spec['command']} answered in another apiVersion than it was asked in")
        if not self._token and not all(self.pair):
            raise CredentialsError(f"exec: {self._spec['command']} gave neither a token nor a certificate with its key")


def _has_token(user: Mapping[str, Any]) -> bool:
    return bool(user.get("token") or user.get("tokenFile"))


def _fixed(user: Mapping[str, Any], folder: Path) -> Authorization:
    if user.get("tokenFile"):
        file = TokenFile(folder / str(user["tokenFile"]))
        file()
        return file
    if user.get("token"):
        return Fixed(f"Bearer {user['token']}")
    if "username" in user and "password" in user:
        pair = f"{user['username']}:{user['password']}".encode()
        return Fixed(f"Basic {base64.b64encode(pair).decode()}")
    if "auth-provider" in user:
        raise CredentialsError("auth-provider is not supported, as in kubectl since 1.26: use exec, token or tokenFile")
    return Fixed()


def _seconds(moment: str) -> float:
    found = datetime.fromisoformat(moment)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


# -- whom to believe


def _tls(cluster: Mapping[str, Any], user: Mapping[str, Any], folder: Path, plugin: Plugin | None) -> ssl.SSLContext:
    context = _context(_pem(cluster, "certificate-authority", folder))
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if plugin is not None:
        plugin()
    certificate, key = plugin.pair if plugin is not None and plugin.pair[0] else ("", "")
    certificate = certificate or _pem(user, "client-certificate", folder)
    key = key or _pem(user, "client-key", folder)
    if certificate:
        # OpenSSL reads a pair from files alone.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(f"{certificate}\n{key}\n")
            file.flush()
            try:
                context.load_cert_chain(file.name)
            except ssl.SSLError:
                raise CredentialsError("the client's certificate and key cannot be used together") from None
    return context


def _context(authorities: str) -> ssl.SSLContext:
    """Believes these, or the system's where there are none. Not ``create_default_context``: from Python 3.13 on that
    refuses authorities such as clusters make for themselves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not authorities:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cadata=authorities)
    except (ssl.SSLError, ValueError):
        raise CredentialsError("the cluster's certificate authority is not a PEM certificate") from None
    return context


def _pem(entry: Mapping[str, Any], name: str, folder: Path) -> str:
    """What is in ``name``-data, or in the file ``name``; "" for neither."""
    data, file = entry.get(f"{name}-data"), entry.get(name)
    if data:
        try:
            return base64.b64decode(str(data), validate=True).decode("utf-8")
        except ValueError:
            raise CredentialsError(f"{name}-data is not base64 of a PEM") from None
    return (folder / str(file)).read_text("utf-8") if file else ""


# -- the file


def _document(path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):  # their texts quote the file
        raise CredentialsError("the file is not YAML") from None
    if not isinstance(document, Mapping):
        raise CredentialsError("the file is not a kubeconfig")
    return document


def _list(document: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    found = document.get(name)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def _entry(document: Mapping[str, Any], kind: str, name: object, what: str) -> Mapping[str, Any]:
    for item in _list(document, f"{kind}s"):
        if name is not None and item.get("name") == name:
            found = item.get(kind)
            return found if isinstance(found, Mapping) else {}
    raise CredentialsError(f"{what} is {name!r}, and there is no such {kind}")
