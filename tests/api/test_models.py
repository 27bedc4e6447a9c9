"""``GET /v1/models`` through the real application: what each kind of caller gets, byte for byte."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

from maas_api.app import build
from maas_api.config import load
from maas_api.providers import ENDPOINTS
from tests.support import contract
from tests.support.serving import serving
from tests.support.wait import until

EXAMPLES = Path(__file__).parents[2] / "examples" / "manifests"

CALLER = {
    "X-MaaS-Username": "alice",
    "X-MaaS-Group": '["system:authenticated","ml"]',
    "Authorization": "Bearer anything-the-gateway-checked",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("catalog") / "manifests"
    shutil.copytree(EXAMPLES, where)
    return where


@pytest.fixture(scope="module")
def base(folder: Path) -> Iterator[str]:
    flags = {"sqlite_path": str(folder.parent / "keys.db"), "manifests": str(folder), "kubernetes": "off"}
    with serving(build(load(flags, {}))) as url:
        yield url


@pytest.fixture
def client(base: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base, headers=CALLER) as session:
        yield session


def listed(client: httpx.Client, **headers: str) -> list[str]:
    answer = client.get("/v1/models", headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status_code == 200, answer.text
    return [entry["id"] for entry in answer.json()["data"]]


THREE = ["claude-sonnet-4-20250514", "facebook/opt-125m", "gpt-4o-mini"]


def test_the_examples_are_three_models_of_three_owners(client: httpx.Client) -> None:
    answer = client.get("/v1/models")
    contract.check("GET", "/v1/models", 200, answer.json())
    assert answer.json()["object"] == "list"
    assert [(entry["id"], entry["owned_by"]) for entry in answer.json()["data"]] == [
        ("claude-sonnet-4-20250514", "anthropic"),
        ("facebook/opt-125m", "llm"),
        ("gpt-4o-mini", "openai"),
    ]
    assert answer.json()["data"][1] == {
        "id": "facebook/opt-125m",
        "object": "model",
        "created": 1773547200,
        "owned_by": "llm",
        "ready": True,
        "url": "https://maas.example.com/llm/facebook-opt-125m-simulated",
        "supported_endpoints": [f"/v1/{name}" for name in ENDPOINTS],
        "modelDetails": {
            "genaiUseCase": "chat",
            "description": "A small language model for trying out the gateway",
            "displayName": "OPT 125M (simulated)",
        },
    }


def test_agents_read_the_limits_in_litellms_shape(client: httpx.Client) -> None:
    answer = client.get("/v1/model/info")
    contract.check("GET", "/v1/model/info", 200, answer.json())
    told = {item["model_name"]: (item["litellm_params"], item["model_info"]) for item in answer.json()["data"]}
    assert list(told) == ["claude-sonnet-4-20250514", "facebook/opt-125m", "gpt-4o-mini"]
    params, info = told["gpt-4o-mini"]
    assert params == {"model": "gpt-4o-mini"}
    assert (info["max_input_tokens"], info["litellm_provider"]) == (128000, "openai")
    assert client.get("/v1/model/info", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    limited = client.get("/v1/model/info", headers={"X-MaaS-Models": '["gpt-*"]'})
    assert [item["model_name"] for item in limited.json()["data"]] == ["gpt-4o-mini"]
    assert httpx.get(client.base_url.join("/v1/model/info")).status_code == 401


def test_a_listing_may_be_kept_but_not_used_unasked(client: httpx.Client) -> None:
    first = client.get("/v1/models")
    assert first.headers["cache-control"] == "no-cache, private"
    assert first.headers["x-access-checked-at"].endswith("Z")
    for tag in (first.headers["etag"], f'"other", W/{first.headers["etag"]}', "*"):
        again = client.get("/v1/models", headers={"If-None-Match": tag})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert "x-access-checked-at" in again.headers
    assert client.get("/v1/models", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("left_out", "ref"), [("X-MaaS-Username", "001"), ("X-MaaS-Group", "002")], ids=["no username", "no group"]
)
def test_without_an_identity_it_is_401_in_the_shape_sdks_read(base: str, left_out: str, ref: str) -> None:
    headers = {name: value for name, value in CALLER.items() if name != left_out}
    answer = httpx.get(base + "/v1/models", headers=headers)
    contract.check("GET", "/v1/models", 401, answer.json())
    body = answer.json()
    assert (answer.status_code, body["exceptionCode"], body["refId"]) == (401, "AUTH_FAILURE", ref)
    assert body["error"]["type"] == "authentication_error"
    assert left_out in body["error"]["message"]


@pytest.mark.parametrize("value", ['"bare"', "[]", "not a list", '["a"', "[null]"])
def test_a_malformed_group_list_is_401_with_its_reference(base: str, value: str) -> None:
    answer = httpx.get(base + "/v1/models", headers={**CALLER, "X-MaaS-Group": value})
    assert (answer.status_code, answer.json()["refId"]) == (401, "003")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "Authorization token required"),
        ("Bearer", "Valid authorization token required"),
        ("", "Valid authorization token required"),
    ],
)
def test_an_authorization_header_must_be_there(base: str, value: str | None, message: str) -> None:
    headers = {name: text for name, text in CALLER.items() if name != "Authorization"}
    if value is not None:
        headers["Authorization"] = value
    answer = httpx.get(base + "/v1/models", headers=headers)
    assert (answer.status_code, answer.json()["error"]["message"]) == (401, message)


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        ('["gpt-4o-mini"]', ["gpt-4o-mini"]),
        ('["facebook/*", "claude-*"]', ["claude-sonnet-4-20250514", "facebook/opt-125m"]),
        ('["*"]', THREE),
        ('["gpt-4o"]', []),
        ("[]", []),
    ],
)
def test_a_keys_allow_list_narrows_the_listing(client: httpx.Client, allowed: str, expected: list[str]) -> None:
    assert listed(client, X_MaaS_Models=allowed) == expected
    for identifier in THREE:
        answer = client.get(f"/v1/models/{identifier}", headers={"X-MaaS-Models": allowed})
        assert answer.status_code == (200 if identifier in expected else 404)


@pytest.mark.parametrize("value", ["gpt-4o-mini", '{"a":1}', "[1]", ""])
def test_a_malformed_allow_list_never_counts_as_everything(client: httpx.Client, value: str) -> None:
    answer = client.get("/v1/models", headers={"X-MaaS-Models": value})
    assert answer.status_code == 401
    assert "X-MaaS-Models" in answer.json()["error"]["message"]


def test_one_model_is_found_by_an_id_with_slashes(client: httpx.Client) -> None:
    plain = client.get("/v1/models/facebook/opt-125m")
    escaped = client.get("/v1/models/facebook%2Fopt-125m")
    assert plain.status_code == 200
    assert plain.content == escaped.content
    assert plain.json()["id"] == "facebook/opt-125m"
    assert (
        client.get("/v1/models/facebook/opt-125m", headers={"If-None-Match": plain.headers["etag"]}).status_code == 304
    )


def test_an_unknown_model_is_404_and_says_which(client: httpx.Client) -> None:
    answer = client.get("/v1/models/no/such%20model")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"
    assert "`no/such model`" in answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-4o-mini"])
@pytest.mark.parametrize("method", ["POST", "DELETE", "HEAD"])
def test_the_listing_is_only_read(client: httpx.Client, path: str, method: str) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_every_answer_is_one_the_published_contract_declares(client: httpx.Client) -> None:
    anthropic_version = {"anthropic-version": "2023-06-01"}
    for path, template in (("/v1/models", "/v1/models"), ("/v1/models/facebook/opt-125m", "/v1/models/{id}")):
        for headers in ({}, anthropic_version):
            contract.check("GET", template, 200, client.get(path, headers=headers).json())
        contract.check("GET", template, 401, client.get(path, headers={"X-MaaS-Models": "x"}).json())
    contract.check("GET", "/v1/models", 400, client.get("/v1/models?limit=0", headers=anthropic_version).json())
    contract.check("GET", "/v1/models/{id}", 404, client.get("/v1/models/nothing").json())


@pytest.fixture
def sdk(base: str) -> Iterator[openai.OpenAI]:
    """OpenAI's client."""
    with openai.OpenAI(base_url=base + "/v1", api_key="unused", max_retries=0, default_headers=CALLER) as made:
        yield made


@pytest.fixture
def claude(base: str) -> Iterator[anthropic.Anthropic]:
    """Anthropic's."""
    with anthropic.Anthropic(base_url=base, api_key="unused", max_retries=0, default_headers=CALLER) as made:
        yield made


def test_the_openai_sdk_lists_and_retrieves(sdk: openai.OpenAI) -> None:
    assert [model.id for model in sdk.models.list()] == THREE
    assert sdk.models.retrieve("facebook/opt-125m").owned_by == "llm"
    with pytest.raises(openai.NotFoundError) as fault:
        sdk.models.retrieve("a model/that is not there")
    assert fault.value.code == "model_not_found"
    assert "a model/that is not there" in fault.value.message


def test_the_openai_sdk_sees_an_authentication_error(base: str) -> None:
    sdk = openai.OpenAI(base_url=base + "/v1", api_key="unused", max_retries=0)
    with sdk, pytest.raises(openai.AuthenticationError):
        sdk.models.list()


def test_the_anthropic_sdk_lists_pages_and_retrieves(claude: anthropic.Anthropic) -> None:
    assert [model.id for model in claude.models.list()] == THREE
    first = claude.models.list(limit=2)
    assert ([model.id for model in first.data], first.has_more, first.last_id) == (THREE[:2], True, THREE[1])
    assert [model.id for model in first] == THREE  # the SDK fetches the further pages itself
    assert [model.id for model in claude.models.list(limit=1, before_id=THREE[2]).data] == [THREE[1]]
    model = claude.models.retrieve("facebook/opt-125m")
    assert (model.type, model.display_name, model.created_at.year) == ("model", "OPT 125M (simulated)", 2026)
    assert claude.models.retrieve("gpt-4o-mini").max_input_tokens == 128000
    with pytest.raises(anthropic.NotFoundError) as fault:
        claude.models.retrieve("no/such model")
    assert fault.value.body == {
        "type": "error",
        "error": {
            "message": "The model `no/such model` does not exist or you do not have access to it.",
            "type": "not_found_error",
            "param": "model",
            "code": "model_not_found",
        },
    }


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("after_id=nobody", "after_id"),
        ("after_id=gpt-4o-mini&before_id=gpt-4o-mini", "before_id"),
    ],
)
def test_a_wrong_page_is_400_and_names_the_parameter(client: httpx.Client, query: str, names: str) -> None:
    answer = client.get(f"/v1/models?{query}", headers={"anthropic-version": "2023-06-01"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, names)
    assert names in answer.json()["error"]["message"]


def test_an_edit_shows_within_a_second_and_a_broken_one_keeps_the_list(
    folder: Path, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    registry = folder / "external-model-registry.yaml"
    original = registry.read_text()
    try:
        registry.write_text(original + "    - id: gpt-5\n      provider: openai\n")
        until(lambda: "gpt-5" in listed(client), what="the edit shows", seconds=1)
        registry.write_text(original + "    - id: gpt-5\n      provider: openai\n   - broken: [\n")
        until(lambda: "external-model-registry.yaml:2" in caplog.text, what="the broken edit is reported")
        assert listed(client) == [*THREE[:2], *THREE[2:], "gpt-5"]
        report = json.loads(client.get("/readyz").content)["checks"]["models"]
        assert (report["ready"], report["sources"][0]["state"]) == (True, "stale")
        assert "external-model-registry.yaml:2" in report["sources"][0]["detail"]
    finally:
        registry.write_text(original)
    until(lambda: listed(client) == THREE, what="the repaired file is taken")


def test_an_id_with_spaces_is_found_by_both_sdks(
    folder: Path, client: httpx.Client, sdk: openai.OpenAI, claude: anthropic.Anthropic
) -> None:
    registry = folder / "external-model-registry.yaml"
    original = registry.read_text()
    try:
        registry.write_text(original + "    - id: acme/my model+1\n      provider: acme\n")
        until(lambda: "acme/my model+1" in listed(client), what="the new model shows")
        assert sdk.models.retrieve("acme/my model+1").owned_by == "acme"
        assert claude.models.retrieve("acme/my model+1").id == "acme/my model+1"
    finally:
        registry.write_text(original)
    until(lambda: listed(client) == THREE, what="the original is back")


def test_one_bad_registry_entry_is_named_and_the_rest_stays(
    folder: Path, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    registry = folder / "external-model-registry.yaml"
    original = registry.read_text()
    try:
        registry.write_text(original + "    - id: half\n    - id: whole\n      provider: openai\n")
        until(lambda: "whole" in listed(client), what="the good entry shows")
        assert listed(client) == [*THREE, "whole"]
        line = len(original.splitlines()) + 1
        assert f"external-model-registry.yaml:{line}: entry 3 (half): provider: must be given" in caplog.text
    finally:
        registry.write_text(original)
    until(lambda: listed(client) == THREE, what="the original is back")
