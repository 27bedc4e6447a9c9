"""Subscriptions over real HTTP: the listings a client reads and the callback the gateway makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml

from maas_api.app import Service, build
from maas_api.config import Settings
from maas_api.edge import guard, web
from maas_api.edge.health import Readiness
from maas_api.subscriptions import views
from maas_api.subscriptions.directory import Directory
from maas_api.wire import RouteTable
from tests.support import contract
from tests.support.serving import serving
from tests.support.wait import until
from tests.unit.subscriptions.objects import policy, reference, subscription

ALICE = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["team-a"]'}
LIST = "/v1/subscriptions"
OF_MODEL = "/v1/model/{id}/subscriptions"
SELECT = "/internal/v1/subscriptions/select"


@pytest.fixture(scope="module")
def directory() -> Directory:
    """Alice may use the model opt by gold; she also owns failed."""
    found = Directory(namespace="models-as-a-service")
    found.update(
        [
            subscription("gold", users=("alice",), models=[reference("opt"), reference("llama")]),
            subscription("failed", users=("alice",), models=[reference("llama")], phase="Failed"),
            subscription("foreign", users=("bob",), namespace="elsewhere"),
        ],
        [policy("p", "opt", groups=("team-a",))],
    )
    return found


@pytest.fixture(scope="module")
def client(directory: Directory) -> Iterator[httpx.Client]:
    """A client of the service over a socket."""
    fast, internal = RouteTable(), guard.InternalGuard()
    fast.add("POST", SELECT, views.select_route(directory))
    flask = web.create([views.blueprint(directory)], fast, internal, max_body_bytes=4096)
    with (
        serving(Service(Settings(max_body_bytes=4096), flask, fast, internal, Readiness(), [])) as base,
        httpx.Client(base_url=base) as made,
    ):
        yield made


def test_a_caller_lists_what_they_can_use(client: httpx.Client) -> None:
    reply = client.get(LIST, headers=ALICE)
    contract.check("GET", LIST, reply.status_code, reply.json())
    assert [(row["subscription_id_header"], [ref["name"] for ref in row["model_refs"]]) for row in reply.json()] == [
        ("gold", ["opt"])
    ]
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(("model", "names"), [("llama", []), ("opt", ["gold"]), ("a/b%2Fc", []), ("unknown", [])])
def test_a_caller_lists_the_subscriptions_of_a_model(client: httpx.Client, model: str, names: list[str]) -> None:
    reply = client.get(OF_MODEL.format(id=model), headers=ALICE)
    contract.check("GET", OF_MODEL, reply.status_code, reply.json())
    assert [row["subscription_id_header"] for row in reply.json()] == names


@pytest.mark.parametrize("path", [LIST, OF_MODEL.format(id="opt")])
def test_an_anonymous_caller_has_none(client: httpx.Client, path: str) -> None:
    reply = client.get(path)
    assert (reply.status_code, reply.json()) == (200, [])
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("headers", "ref"),
    [
        ({"X-MaaS-Username": "alice"}, "002"),
        ({"X-MaaS-Group": '["team-a"]'}, "001"),
        ({"X-MaaS-Username": "alice", "X-MaaS-Group": "team-a"}, "003"),
    ],
)
def test_half_an_identity_is_refused(client: httpx.Client, headers: dict[str, str], ref: str) -> None:
    reply = client.get(LIST, headers=headers)
    contract.check("GET", LIST, reply.status_code, reply.json())
    assert (reply.status_code, reply.json()["refId"]) == (401, ref)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ({"username": "alice", "groups": ["team-a"], "requestedModel": "llm/opt"}, ("gold", True)),
        ({"username": "alice", "requestedModel": "llm/opt"}, ("gold", False)),
        ({"username": "alice", "requestedSubscription": "failed"}, "model_unhealthy"),
        ({"username": "alice"}, "multiple_subscriptions"),
        ({"username": "alice", "requestedSubscription": "foreign"}, "not_found"),
        ({"username": "bob"}, "not_found"),
        ({"username": ""}, "bad_request"),
        ([], "bad_request"),
    ],
)
def test_the_gateway_always_gets_an_answer_it_can_read(
    client: httpx.Client, question: object, expected: str | tuple[str, bool]
) -> None:
    reply = client.post(SELECT, json=question)
    body = reply.json()
    contract.check("POST", SELECT, reply.status_code, body)
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("application/json")
    found = body["error"] if "error" in body else (body["name"], body["accessAllowed"])
    assert found == expected


def test_too_large_a_question_is_a_refusal_too(client: httpx.Client) -> None:
    reply = client.post(SELECT, json={"username": "alice", "groups": ["g" * 5000]})
    assert (reply.status_code, reply.json()["error"]) == (200, "bad_request")


def test_a_client_that_came_through_a_gateway_cannot_ask(client: httpx.Client) -> None:
    reply = client.post(SELECT, json={"username": "alice"}, headers={"x-envoy-original-path": "/maas-api" + SELECT})
    assert reply.status_code == 404
    contract.check("POST", SELECT, reply.status_code, reply.json())


def test_the_same_answers_come_without_an_asgi_server(directory: Directory, client: httpx.Client) -> None:
    fast, internal = RouteTable(), guard.InternalGuard()
    fast.add("POST", SELECT, views.select_route(directory))
    flask = web.create([views.blueprint(directory)], fast, internal, max_body_bytes=4096).test_client()
    question = {"username": "alice", "requestedModel": "llm/opt"}
    assert flask.post(SELECT, json=question).data == client.post(SELECT, json=question).content
    assert flask.get(LIST, headers=ALICE).data == client.get(LIST, headers=ALICE).content


def test_before_the_first_state_an_identified_caller_is_asked_to_come_back() -> None:
    flask = web.create(
        [views.blueprint(Directory())], RouteTable(), guard.InternalGuard(), max_body_bytes=4096
    ).test_client()
    reply = flask.get(LIST, headers=ALICE)
    contract.check("GET", LIST, reply.status_code, reply.get_json())
    assert reply.status_code == 503
    assert flask.get(LIST).get_json() == []


def test_a_folder_of_manifests_is_followed(tmp_path: Path) -> None:
    service = build(Settings(manifests=tmp_path, kubernetes="off", sqlite_path=tmp_path / "keys.db"))
    with serving(service) as base, httpx.Client(base_url=base, headers=ALICE) as client:

        def names() -> list[str]:
            return [row["subscription_id_header"] for row in client.get(LIST).json()]

        assert names() == []
        objects = [subscription("gold", users=("alice",)), policy("p", "opt", groups=("team-a",))]
        (tmp_path / "gold.yaml").write_text(yaml.safe_dump_all(objects))
        until(lambda: names() == ["gold"], what="the subscription in the folder")
        assert client.post(SELECT, json={"username": "alice"}).json()["name"] == "gold"
        (tmp_path / "gold.yaml").write_text("spec: [")
        (tmp_path / "silver.yaml").write_text(yaml.safe_dump(subscription("silver", groups=("team-a",))))
        until(lambda: names() == ["gold", "silver"], what="the second, beside the last good state of the first")


@pytest.fixture(scope="module")
def minting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client, as Alice, of a whole service that knows these subscriptions from a folder."""
    folder = tmp_path_factory.mktemp("minting")
    owned = [
        subscription("gold", users=("alice",), priority=1, models=[reference("opt", 5)]),
        subscription("silver", groups=("team-a",), priority=1, models=[reference("opt", 4)]),
        subscription("failed", users=("alice",), phase="Failed"),
        subscription("new", users=("alice",), phase=""),
        subscription("foreign", users=("bob",), priority=9),
    ]
    (folder / "subscriptions.yaml").write_text(yaml.safe_dump_all(owned))
    service = build(Settings(manifests=folder, kubernetes="off", sqlite_path=folder / "keys.db"))
    with serving(service) as base, httpx.Client(base_url=base, headers=ALICE) as made:
        until(lambda: made.get("/readyz").status_code == 200, what="the service is ready")
        yield made


INVALID = {"error": "Unable to resolve a subscription for this API key", "code": "invalid_subscription"}


@pytest.mark.parametrize(
    ("asked", "status", "expected"),
    [
        ({}, 201, "gold"),
        ({"subscription": ""}, 201, "gold"),
        ({"subscription": "silver"}, 201, "silver"),
        ({"subscription": " models-as-a-service/silver "}, 201, "silver"),
        ({"subscription": "foreign"}, 400, INVALID),
        ({"subscription": "unknown"}, 400, INVALID),
        (
            {"subscription": "failed"},
            403,
            {
                "error": "subscription is in Failed phase (cannot create API keys)",
                "code": "subscription_not_ready",
            },
        ),
        (
            {"subscription": "new"},
            400,
            {"error": "subscription is unreconciled (no status.phase set)", "code": "subscription_not_ready"},
        ),
    ],
)
def test_a_key_is_bound_to_the_subscription_that_the_contract_names(
    minting: httpx.Client, asked: dict[str, str], status: int, expected: str | dict[str, str]
) -> None:
    reply = minting.post("/v1/api-keys", json={"name": "k", **asked})
    contract.check("POST", "/v1/api-keys", reply.status_code, reply.json())
    assert reply.status_code == status
    assert (reply.json()["subscription"] if status == 201 else reply.json()) == expected
    if status == 201:
        verdict = minting.post("/internal/v1/api-keys/validate", json={"key": reply.json()["key"]}).json()
        assert verdict["subscription"] == expected


def test_a_caller_without_any_subscription_mints_nothing(minting: httpx.Client) -> None:
    stranger = {"X-MaaS-Username": "carol", "X-MaaS-Group": '["nobody"]'}
    reply = minting.post("/v1/api-keys", json={"name": "k"}, headers=stranger)
    assert (reply.status_code, reply.json()) == (400, INVALID)
