"""The Kubernetes API over urllib3: JSON in, JSON out, a line iterator for watches that another thread can interrupt.

The official client's thousand generated classes, of which nothing was used, took a third of the start and 25 MB. One
client serves every reflector of a worker: its pool and its request rate are explicit.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from maas_api import __version__
from maas_api.kube import credentials
from maas_api.kube.credentials import Credentials, CredentialsError

if TYPE_CHECKING:  # loaded with the first client: many services have no cluster
    import urllib3

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
_NOTICED = ((socket.TCP_KEEPIDLE, 30), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 9))
"""By which the kernel notices a dead peer under a quiet watch, as client-go asks it to."""

Query = Mapping[str, str]


class KubeError(Exception):
    """The API could not be asked, or refused. ``retry_after`` is the server's wish in seconds, 0 without one."""

    retry_after: float = 0.0


class UnreachableError(KubeError):
    """No answer: connection refused, TLS failure, timeout, or a connection that broke."""


class RefusedError(KubeError):
    """The API answered with an error status."""

    def __init__(self, status: int, reason: str, message: str, retry_after: float = 0.0) -> None:
        super().__init__(f"{status} {reason}: {message}" if message else f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class ReviewedUser(NamedTuple):
    """Who a reviewed token stands for."""

    username: str
    groups: tuple[str, ...]
    audiences: tuple[str, ...]


class RateLimit:
    """A token bucket: ``qps`` requests a second on average, ``burst`` at once. Safe from any thread."""

    def __init__(
        self,
        qps: float,
        burst: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._qps = qps
        self._burst = float(burst)
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._tokens = self._burst
        self._filled = clock()

    def wait(self) -> None:
        """Take one token, waiting for it if there is none."""
        with self._lock:
            now = self._clock()
            self._tokens = min(self._burst, self._tokens + (now - self._filled) * self._qps)
            self._filled = now
            self._tokens -= 1
            pause = -self._tokens / self._qps
        if pause > 0:
            self._sleep(pause)


class Stream:
    """A response being read. ``abort`` may be called from any thread and ends a blocked read at once."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()  # not released to the pool: a watch's connection is in an unknown state

    def abort(self) -> None:
        """Make the reader's current and next reads end."""
        try:
            self._response.shutdown()
        except (RuntimeError, ValueError, OSError):  # it has ended by itself
            self._response.close()

    def lines(self) -> Iterator[bytes]:
        """The lines of the body as they arrive, without their ends. A last line that was cut off is not given.

        Raises UnreachableError when the connection breaks or stays silent for longer than its read timeout.
        """
        from urllib3.exceptions import HTTPError

        pending = b""
        try:
            # stream() yields a chunk as soon as it arrives, whole events at a time as the API server writes them.
            for chunk in self._response.stream(65536, decode_content=True):
                *whole, pending = (pending + chunk).split(b"\n")
                yield from whole
        except (HTTPError, OSError) as fault:
            raise UnreachableError(_cause(fault)) from None

    def read(self) -> bytes:
        """The whole body. Raises UnreachableError."""
        from urllib3.exceptions import HTTPError

        try:
            return self._response.read()
        except (HTTPError, OSError) as fault:
            raise UnreachableError(_cause(fault)) from None


class Client:
    """Requests to one API server. Constructing it connects to nothing."""

    def __init__(self, found: Credentials, *, qps: float = 20.0, burst: int = 40, pool: int = 16) -> None:
        import urllib3
        from urllib3.connection import HTTPConnection

        self._found = found
        alive = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *((socket.IPPROTO_TCP, *one) for one in _NOTICED)]
        options: dict[str, Any] = {
            "maxsize": pool,
            "retries": False,  # one attempt: whoever asks knows better when to try again
            "socket_options": [*HTTPConnection.default_socket_options, *alive],
        }
        if found.tls is not None:
            options["ssl_context"] = found.tls
        if found.server_name:
            options["server_hostname"] = found.server_name
        self._pool = urllib3.ProxyManager(found.proxy, **options) if found.proxy else urllib3.PoolManager(**options)
        self._limit = RateLimit(qps, burst)

    def open(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: Any = None,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> Stream:
        """Send a request; returns its response to be read. ``read_seconds`` bounds every silence, not the whole.

        Raises RefusedError for a status from 400 on, UnreachableError without an answer.
        """
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        self._limit.wait()
        headers = {"Accept": "application/json", "User-Agent": f"maas-api/{__version__}"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        url = self._found.server + path + (f"?{urlencode(query)}" if query else "")
        try:
            who = self._found.authorization()
            if who:
                headers["Authorization"] = who
            response = self._pool.request(
                method,
                url,
                headers=headers,
                body=None if body is None else json.dumps(body).encode(),
                timeout=Timeout(connect=connect_seconds, read=read_seconds),
                preload_content=False,
                redirect=False,
            )
        except (HTTPError, OSError) as fault:
            raise UnreachableError(_cause(fault)) from None
        except CredentialsError as fault:
            raise UnreachableError(str(fault)) from None
        except Exception as fault:  # a token file or plugin may fail in its own way
            raise UnreachableError(f"{type(fault).__name__}: {fault}".splitlines()[0]) from None
        if response.status == 401:
            self._found.authorization.refused()
        if response.status >= 300:
            with Stream(response) as stream:
                raise _refusal(response, stream)
        return Stream(response)

    def get(self, path: str, query: Query | None = None, *, holder: Callable[[Stream], None] | None = None) -> Any:
        """GET one JSON document. ``holder`` receives the stream before it is read, to abort it from elsewhere."""
        stream = self.open("GET", path, query)
        if holder is not None:
            holder(stream)
        with stream:
            return _decoded(stream.read())

    def post(self, path: str, body: Any, *, seconds: float = READ_SECONDS) -> Any:
        """POST a JSON document; returns the answer. ``seconds`` bounds connecting and every silence."""
        with self.open(
            "POST", path, body=body, connect_seconds=min(CONNECT_SECONDS, seconds), read_seconds=seconds
        ) as s:
            return _decoded(s.read())

    def close(self) -> None:
        """Close idle connections."""
        self._pool.clear()

    # -- the few calls that are not watches

    def subject_access_review(
        self, username: str, groups: tuple[str, ...], attributes: Mapping[str, str], *, seconds: float = 5.0
    ) -> bool:
        """Whether a user may do something. ``attributes``: namespace, verb, group, resource. Raises KubeError."""
        spec = {"user": username, "groups": list(groups), "resourceAttributes": dict(attributes)}
        kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
        answer = self.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", kind | {"spec": spec}, seconds=seconds)
        status = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(status, dict) or not isinstance(status.get("allowed"), bool):
            raise UnreachableError("the API server's SubjectAccessReview has no status.allowed")
        return bool(status["allowed"] and not status.get("denied"))

    def token_review(self, token: str, audiences: tuple[str, ...] = (), *, seconds: float = 5.0) -> ReviewedUser | None:
        """Whose token this is; None for nobody's. With ``audiences`` the token must carry one. Raises KubeError."""
        spec: dict[str, Any] = {"token": token}
        if audiences:
            spec["audiences"] = list(audiences)
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview"}
        answer = self.post("/apis/authentication.k8s.io/v1/tokenreviews", kind | {"spec": spec}, seconds=seconds)
        status = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(status, dict):
            raise UnreachableError("the API server's TokenReview has no status")
        user = status.get("user") or {}
        found = tuple(str(item) for item in status.get("audiences") or ())
        if status.get("authenticated") is not True or not user.get("username"):
            return None
        # A server that knows nothing of audiences leaves the list empty; then the token was not checked for one.
        if audiences and not set(audiences) & set(found):
            return None
        return ReviewedUser(str(user["username"]), tuple(str(item) for item in user.get("groups") or ()), found)

    def read_secret(self, namespace: str, name: str) -> dict[str, bytes]:
        """A Secret's data, decoded. Raises KubeError; the message never holds a value."""
        answer = self.get(f"/api/v1/namespaces/{quote(namespace, safe='')}/secrets/{quote(name, safe='')}")
        data = (answer.get("data") if isinstance(answer, dict) else None) or {}
        try:
            return {str(key): base64.b64decode(value, validate=True) for key, value in data.items()}
        except (binascii.Error, TypeError, ValueError):
            raise UnreachableError(f"Secret {namespace}/{name} has data that is not base64") from None


def connect(kubeconfig: Path | None, *, qps: float = 20.0, burst: int = 40, pool: int = 16) -> Client:
    """A client for a kubeconfig's current context, or for the pod's service account without one.

    Raises KubeError naming the file or what the pod lacks. Both re-read a rotated token file.
    """
    try:
        found = credentials.of_pod(os.environ) if kubeconfig is None else credentials.of_kubeconfig(kubeconfig)
        return Client(found, qps=qps, burst=burst, pool=pool)
    except CredentialsError as fault:
        reason = str(fault)
    except Exception as fault:  # of the files, of TLS, of a plugin
        reason = f"{type(fault).__name__}: {fault}"
    where = "the pod's service account" if kubeconfig is None else str(kubeconfig)
    raise KubeError(f"no Kubernetes client from {where}: {reason}")


def _refusal(response: urllib3.BaseHTTPResponse, stream: Stream) -> RefusedError:
    reason, message = response.reason or "", ""
    try:
        status = _decoded(stream.read())
        if isinstance(status, dict):
            reason, message = str(status.get("reason") or reason), str(status.get("message") or "")
    except UnreachableError:
        pass
    wish = response.headers.get("Retry-After", "")
    return RefusedError(response.status, reason, message[:500], float(wish) if wish.isascii() and wish.isdigit() else 0)


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise UnreachableError("the answer is not JSON") from None


def _cause(fault: BaseException) -> str:
    """One line on why a connection failed, without object addresses."""
    reason = getattr(fault, "reason", None) or fault
    text = str(reason).partition(": ")[2] if str(reason).startswith("<") else str(reason)
    return f"{type(reason).__name__}: {text}".splitlines()[0][:300]
