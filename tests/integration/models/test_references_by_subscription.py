"""MaaSModelRefs in ``GET /v1/models``: a caller sees those that their subscriptions open, and is told which do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from maas_api.app import build
from maas_api.config import load
from tests.support import contract, kubeapi
from tests.support.kubeapi import KubeApi, kubeconfig
from tests.support.objects import registry
from tests.support.serving import serving
from tests.support.wait import until
from tests.unit.subscriptions.objects import model_ref, policy, reference, subscription

ALICE = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["team-a"]'}
BOB = {"X-MaaS-Username": "bob", "X-MaaS-Group": '["team-b"]'}
TOKEN = {"Authorization": "Bearer checked-by-the-gateway"}
KEY = {"Authorization": "Bearer sk-oai-checked-by-the-gateway"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Three models; gold opens two of them, silver one. Policies open opt to Alice. The registry has one more."""
    folder: Path = tmp_path_factory.mktemp("references")
    api = KubeApi()
    for name in ("opt", "llama", "secret"):
        api.put("maasmodelrefs", model_ref(name, alias=f"publishers/llm/models/{name}"))
    described = {"openshift.io/display-name": "Gold", "openshift.io/description": "The best"}
    models = [reference("opt"), reference("llama")]
    api.put("maassubscriptions", subscription("gold", users=("alice",), models=models, annotations=described))
    api.put("maassubscriptions", subscription("silver", users=("alice",), models=[reference("opt")]))
    api.put("maasmodelrefs", model_ref("twin", alias="publishers/llm/models/opt"))
    api.put("maassubscriptions", subscription("all", users=("alice",), models=[]))
    api.put("maassubscriptions", subscription("both", users=("carol",), models=[reference("opt"), reference("twin")]))
    api.put("maassubscriptions", subscription("failed", users=("alice",), phase="Failed"))
    api.put("maasauthpolicies", policy("p", "opt", users=("alice",)))
    api.put("maasauthpolicies", policy("q", "opt", "twin", users=("carol",)))
    api.put("configmaps", registry("- {id: gpt, provider: openai}"))
    with kubeapi.running(api):
        flags = {
            "kubeconfig": str(kubeconfig(api, folder)),
            "sqlite_path": str(folder / "keys.db"),
            "namespace": registry("")["metadata"]["namespace"],
            "source_maasmodelrefs": "auto",
        }
        with serving(build(load(flags, {}))) as base, httpx.Client(base_url=base) as made:
            until(lambda: made.get("/readyz").status_code == 200, what="the service is ready")
            yield made


def listed(client: httpx.Client, *headers: dict[str, str]) -> dict[str, Any]:
    """The ids in the listing, each with its entry."""
    answer = client.get("/v1/models", headers={name: value for lines in headers for name, value in lines.items()})
    contract.check("GET", "/v1/models", answer.status_code, answer.json())
    assert answer.status_code == 200, answer.text
    return {entry["id"].rpartition("/")[2]: entry for entry in answer.json()["data"]}


def test_a_platform_user_sees_what_policies_open_in_any_subscription(client: httpx.Client) -> None:
    found = listed(client, ALICE, TOKEN)
    assert found.keys() == {"opt", "gpt"}
    assert found["opt"]["subscriptions"] == [
        {"name": "gold", "displayName": "Gold", "description": "The best"},
        {"name": "silver"},
    ]
    assert "subscriptions" not in found["gpt"], "the registry's models are not a matter of subscriptions"


def test_a_key_sees_what_it_may_call_of_the_subscription_it_is_bound_to(client: httpx.Client) -> None:
    """No policy opens llama to Alice: select refuses her calls, so her key does not list it either."""
    assert listed(client, ALICE, KEY, {"X-MaaS-Subscription": "gold"}).keys() == {"opt", "gpt"}
    silver = listed(client, ALICE, KEY, {"X-MaaS-Subscription": "silver"})
    assert silver.keys() == {"opt", "gpt"}
    assert silver["opt"]["subscriptions"] == [{"name": "silver"}]


def test_one_model_is_restricted_and_described_like_the_list(client: httpx.Client) -> None:
    headers = {**ALICE, **KEY, "X-MaaS-Subscription": "silver"}
    opt = client.get("/v1/models/publishers/llm/models/opt", headers=headers)
    assert opt.json()["subscriptions"] == [{"name": "silver"}]
    assert client.get("/v1/models/publishers/llm/models/llama", headers=headers).status_code == 404


def test_a_caller_without_subscriptions_sees_only_what_needs_none(client: httpx.Client) -> None:
    assert listed(client, BOB, TOKEN).keys() == {"gpt"}


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        (KEY, "API key has no subscription bound"),
        ({**KEY, "X-MaaS-Subscription": "unknown"}, "access denied to requested subscription"),
        ({**TOKEN, "X-MaaS-Subscription": "failed"}, "requested subscription is not ready"),
    ],
)
def test_a_subscription_that_cannot_be_selected_is_refused(
    client: httpx.Client, headers: dict[str, str], message: str
) -> None:
    answer = client.get("/v1/models", headers={**ALICE, **headers})
    contract.check("GET", "/v1/models", answer.status_code, answer.json())
    assert (answer.status_code, answer.json()["error"]["message"]) == (403, message)
    assert answer.json()["error"]["type"] == "permission_error"


def test_a_subscription_that_refers_to_no_model_is_named_on_every_one(client: httpx.Client) -> None:
    found = listed(client, ALICE, KEY, {"X-MaaS-Subscription": "all"})
    assert found.keys() == {"opt", "llama", "secret", "gpt"}
    assert found["secret"]["subscriptions"] == [{"name": "all"}]
    assert "subscriptions" not in found["gpt"]


def test_two_references_to_one_model_are_two_entries(client: httpx.Client) -> None:
    """The Go service's entries differ by id, url and owner: each is opened by subscriptions of its own."""
    headers = {**BOB, "X-MaaS-Username": "carol", **KEY, "X-MaaS-Subscription": "both"}
    answer = client.get("/v1/models", headers=headers)
    entries = [entry for entry in answer.json()["data"] if entry["id"] == "publishers/llm/models/opt"]
    assert [entry["owned_by"] for entry in entries] == ["llm/opt", "llm/twin"]
    assert all(entry["subscriptions"] == [{"name": "both"}] for entry in entries)
    page = client.get("/v1/models", headers={**headers, "anthropic-version": "2023-06-01"}).json()
    ids = [entry["id"] for entry in page["data"]]
    assert len(ids) == len(set(ids)), "a page's cursors are ids"


def test_two_callers_never_share_a_view(client: httpx.Client) -> None:
    """Views are cached by what is seen: the same request twice, in turns, gives each caller their own."""
    for _ in range(2):
        assert "opt" in listed(client, ALICE, TOKEN)
        assert "opt" not in listed(client, BOB, TOKEN)
