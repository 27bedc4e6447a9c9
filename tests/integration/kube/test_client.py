"""The client's requests: what it sends, and what it makes of every kind of refusal."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maas_api.kube.client import Client, KubeError, RateLimit, RefusedError, ReviewedUser, UnreachableError, connect
from maas_api.kube.credentials import Credentials, Fixed
from tests.support import kubeapi
from tests.support.kubeapi import Fault, KubeApi


@pytest.fixture
def api() -> Iterator[KubeApi]:
    found = KubeApi()
    with kubeapi.running(found):
        yield found


@pytest.fixture
def client(api: KubeApi) -> Client:
    return Client(Credentials(api.url, Fixed()))


def test_a_refusal_says_what_the_server_said(api: KubeApi, client: Client) -> None:
    api.inject(Fault("list", status=429, retry_after=7))
    with pytest.raises(RefusedError, match="429 Code429: on demand") as fault:
        client.get("/api/v1/configmaps")
    assert (fault.value.status, fault.value.retry_after) == (429, 7)


def test_nobody_there_is_unreachable() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = Client(Credentials(f"http://127.0.0.1:{free.getsockname()[1]}", Fixed()))
        with pytest.raises(UnreachableError, match="refused"):
            nobody.get("/api/v1/configmaps")


def test_a_server_that_is_not_trusted_is_unreachable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def no_tls() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        thread = threading.Thread(target=no_tls, daemon=True)
        thread.start()
        with pytest.raises(UnreachableError):
            Client(Credentials(f"https://127.0.0.1:{listener.getsockname()[1]}", Fixed())).get("/api")
        thread.join(5)


def test_an_answer_that_is_not_json_is_unreachable_not_a_crash(api: KubeApi, client: Client) -> None:
    api.answers["subjectaccessreviews"] = lambda body: ["not an object"]
    with pytest.raises(UnreachableError, match=r"no status\.allowed"):
        client.subject_access_review("u", ("g",), {})


@pytest.mark.parametrize(
    ("status", "expected"),
    [({"allowed": True}, True), ({"allowed": False}, False), ({"allowed": True, "denied": True}, False)],
)
def test_access_is_what_the_review_says(api: KubeApi, client: Client, status: dict[str, Any], expected: bool) -> None:
    bodies: list[Any] = []

    def answer(body: Any) -> Any:
        bodies.append(body)
        return {"status": status}

    api.answers["subjectaccessreviews"] = answer
    attributes = {"namespace": "n", "verb": "create", "group": "g", "resource": "r"}
    assert client.subject_access_review("alice", ("a", "b"), attributes) is expected
    assert bodies[0]["spec"] == {"user": "alice", "groups": ["a", "b"], "resourceAttributes": attributes}


@pytest.mark.parametrize("status", [{}, {"allowed": "yes"}, {"allowed": None}, None])
def test_a_review_without_an_answer_is_an_error_never_a_yes(api: KubeApi, client: Client, status: Any) -> None:
    api.answers["subjectaccessreviews"] = lambda body: {"status": status}
    with pytest.raises(KubeError):
        client.subject_access_review("alice", (), {})


USER = {"username": "system:serviceaccount:ns:sa", "groups": ["system:authenticated"]}


@pytest.mark.parametrize(
    ("audiences", "status", "known"),
    [
        ((), {"authenticated": True, "user": USER}, True),
        (("maas",), {"authenticated": True, "user": USER, "audiences": ["maas", "other"]}, True),
        (("maas",), {"authenticated": True, "user": USER, "audiences": ["other"]}, False),
        (("maas",), {"authenticated": True, "user": USER}, False),
        ((), {"authenticated": False, "user": USER}, False),
        ((), {"user": USER}, False),
        ((), {"authenticated": True, "user": {}}, False),
    ],
)
def test_a_token_is_somebodys_only_when_the_review_says_so(
    api: KubeApi, client: Client, audiences: tuple[str, ...], status: dict[str, Any], known: bool
) -> None:
    api.answers["tokenreviews"] = lambda body: {"status": status}
    found = client.token_review("opaque", audiences)
    assert (found is not None) == known
    if found is not None:
        assert found == ReviewedUser(USER["username"], ("system:authenticated",), tuple(status.get("audiences", ())))


def test_a_review_that_fails_is_an_error(api: KubeApi, client: Client) -> None:
    api.inject(Fault("post", "tokenreviews", status=500))
    with pytest.raises(RefusedError):
        client.token_review("opaque")


def test_a_secret_is_read_by_name(api: KubeApi, client: Client) -> None:
    api.secrets[("maas-api", "maas-db-config")] = {"DB_CONNECTION_URL": "postgresql://db/maas"}
    assert client.read_secret("maas-api", "maas-db-config") == {"DB_CONNECTION_URL": b"postgresql://db/maas"}
    with pytest.raises(RefusedError, match="404"):
        client.read_secret("maas-api", "other")


def test_requests_wait_for_their_turn() -> None:
    now, slept = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 3))
        now[0] += seconds

    limit = RateLimit(10, 3, clock=lambda: now[0], sleep=sleep)
    for _ in range(6):
        limit.wait()
    assert slept == [0.1, 0.1, 0.1]
    now[0] += 100
    for _ in range(4):
        limit.wait()
    assert slept == [0.1, 0.1, 0.1, 0.1], "a long rest saves no more than the burst"


@pytest.mark.parametrize("content", [None, "", "current-context: nowhere\n", "x: [\n"])
def test_unusable_credentials_are_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    with pytest.raises(KubeError, match=r"no Kubernetes client from .*kubeconfig"):
        connect(file)


def test_outside_a_pod_there_is_no_service_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(KubeError, match="the pod's service account"):
        connect(None)
