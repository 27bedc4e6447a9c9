"""What the real Envoy does with a request on its way: who sees what, and what never passes."""

from __future__ import annotations

import http.client
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from maas_api.identity.headers import Identity
from tests.support.wait import until

if TYPE_CHECKING:
    from tests.integration.gateway.conftest import World

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}
MESSAGE = {"model": "claude-sonnet-4-20250514", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}
LOCAL_CHAT = {"model": "facebook/opt-125m", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def error(answer: httpx.Response) -> dict[str, Any]:
    assert answer.headers["content-type"].startswith("application/json"), answer.headers
    body = answer.json()
    assert body["type"] == "error"
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return dict(body["error"])


class TestThreeModelsWithOneKey:
    def test_each_answers_and_each_sees_what_it_should(self, world: World) -> None:
        key = world.keys.mint()
        local = world.client.post("/llm/opt-125m/v1/chat/completions", json=LOCAL_CHAT, headers=bearer(key))
        openai = world.client.post("/external/openai/v1/chat/completions", json=CHAT, headers=bearer(key))
        anthropic = world.client.post("/external/anthropic/v1/messages", json=MESSAGE, headers=bearer(key))
        assert [local.status_code, openai.status_code, anthropic.status_code] == [200, 200, 200], anthropic.text

        seen = {name: world.simulators[name].received[-1] for name in ("local", "openai", "anthropic")}
        assert seen["openai"].path == "/v1/chat/completions"
        assert seen["openai"].header("host") == "api.openai.com"
        assert seen["openai"].sni == "api.openai.com"
        assert seen["openai"].header("authorization") == f"Bearer {world.provider_keys['openai']}"
        assert seen["anthropic"].path == "/v1/messages"
        assert seen["anthropic"].header("host") == "api.anthropic.com"
        assert seen["anthropic"].sni == "api.anthropic.com"
        assert seen["anthropic"].header("x-api-key") == world.provider_keys["anthropic"]
        assert seen["anthropic"].header("authorization") is None
        assert seen["anthropic"].header("anthropic-version") == "2023-06-01"
        assert seen["local"].path == "/v1/chat/completions"
        assert seen["local"].header("authorization") is None
        for request in seen.values():
            assert key not in request.text()

    @pytest.mark.parametrize("header", ["x-api-key", "api-key"])
    def test_a_key_is_taken_where_each_sdk_puts_it_and_leaves_with_no_request(self, world: World, header: str) -> None:
        key = world.keys.mint()
        answer = world.client.post("/external/openai/v1/chat/completions", json=CHAT, headers={header: key})
        assert answer.status_code == 200
        assert key not in world.simulators["openai"].received[-1].text()

    def test_a_header_the_client_chose_wins_over_the_providers_default(self, world: World) -> None:
        headers = {**bearer(world.keys.mint()), "anthropic-version": "2024-01-01"}
        world.client.post("/external/anthropic/v1/messages", json=MESSAGE, headers=headers)
        lines = [v for k, v in world.simulators["anthropic"].received[-1].headers if k.lower() == "anthropic-version"]
        assert lines == ["2024-01-01"]

    def test_nothing_of_the_platform_reaches_a_model(self, world: World) -> None:
        headers = {
            **bearer(world.keys.mint()),
            "X-MaaS-Username": "root",
            "X-MaaS-Anything": "1",
            "X-Forwarded-For": "203.0.113.9",
            "X-Forwarded-Host": "elsewhere",
            "X-Envoy-Max-Retries": "9",
            "Forwarded": "for=203.0.113.9",
            "X-Real-Ip": "203.0.113.9",
            "Cookie": "session=1",
        }
        for path, body, name in (
            ("/external/openai/v1/chat/completions", CHAT, "openai"),
            ("/external/anthropic/v1/messages", MESSAGE, "anthropic"),
            ("/llm/opt-125m/v1/chat/completions", LOCAL_CHAT, "local"),
        ):
            assert world.client.post(path, json=body, headers=headers).status_code == 200
            names = {line.lower() for line, _ in world.simulators[name].received[-1].headers}
            platform = {n for n in names if n.startswith(("x-maas-", "x-envoy-", "x-forwarded-"))}
            assert platform | (names & {"cookie", "forwarded", "x-real-ip"}) == set()
            assert ("x-request-id" in names) is (name == "local")

    def test_cookies_and_account_names_of_the_provider_stay_with_the_operator(self, world: World) -> None:
        answer = world.client.post("/external/openai/v1/chat/completions", json=CHAT, headers=bearer(world.keys.mint()))
        assert answer.status_code == 200
        assert not {"set-cookie", "openai-organization", "openai-project"} & set(answer.headers)

    def test_a_stream_arrives_in_separate_pieces(self, world: World) -> None:
        pieces: list[bytes] = []
        with world.client.stream(
            "POST",
            "/external/openai/v1/chat/completions",
            json={**CHAT, "stream": True},
            headers=bearer(world.keys.mint()),
        ) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            pieces.extend(answer.iter_raw())
        assert len(pieces) >= 4
        assert b"[DONE]" in pieces[-1]


class TestIdentityAtTheService:
    def test_it_is_the_authorizers_whatever_the_client_claims(self, world: World) -> None:
        key = world.keys.mint(username="bob", groups=("a", "b c"), subscription="silver", models=("gpt-*",))
        forged = {
            **bearer(key),
            "X-MaaS-Username": "root",
            "X-MaaS-Group": '["admins"]',
            "X-MaaS-Subscription": "platinum",
            "X-MaaS-Models": '["*"]',
            "X-Forwarded-For": "203.0.113.9",
        }
        lines = world.client.get("/v1/api-keys/echo", headers=forged).json()
        seen: dict[str, list[str]] = {}
        for name, value in lines:
            seen.setdefault(name, []).append(value)
        assert seen["x-maas-username"] == ["bob"]
        assert json.loads(seen["x-maas-group"][0]) == ["a", "b c"]
        assert len(seen["x-maas-group"]) == 1
        assert seen["x-maas-subscription"] == ["silver"]
        assert [json.loads(value) for value in seen["x-maas-models"]] == [["gpt-*"]]
        assert seen["authorization"] == [f"Bearer {key}"]
        assert len(seen["x-forwarded-for"]) == 1
        assert "203.0.113.9" not in seen["x-forwarded-for"][0]
        assert "x-maas-internal-secret" not in seen

    def test_a_key_without_allow_list_leaves_no_forged_one(self, world: World) -> None:
        headers = {**bearer(world.keys.mint()), "X-MaaS-Models": '["gpt-4o"]'}
        names = [name for name, _ in world.client.get("/v1/api-keys/echo", headers=headers).json()]
        assert "x-maas-models" not in names

    def test_of_a_wish_sent_twice_nothing_is_left_beside_the_keys_subscription(self, world: World) -> None:
        """The listing reads the last of several: a second line that survived would be believed."""
        key = world.keys.mint(username="bob", subscription="silver", models=("gpt-4o",))
        wishes = [("X-MaaS-Subscription", "platinum"), ("x-maas-subscription", "gold"), ("X-MAAS-MODELS", '["*"]')]
        answer = world.client.get("/v1/api-keys/echo", headers=[*bearer(key).items(), *wishes])
        lines = [(name, value) for name, value in answer.json() if name.startswith("x-maas-")]
        assert [value for name, value in lines if name == "x-maas-subscription"] == ["silver"]
        assert [value for name, value in lines if name == "x-maas-models"] == ['["gpt-4o"]']

    def test_a_platform_user_may_wish_for_a_subscription(self, world: World) -> None:
        world.tokens.users["a-platform-token"] = Identity("carol", ("team",))
        headers = {**bearer("a-platform-token"), "X-MaaS-Subscription": "gold"}
        seen = dict(world.client.get("/v1/api-keys/echo", headers=headers).json())
        assert (seen["x-maas-username"], seen["x-maas-subscription"]) == ("carol", "gold")

    def test_a_key_in_an_sdks_own_header_arrives_as_authorization(self, world: World) -> None:
        key = world.keys.mint()
        seen = dict(world.client.get("/v1/api-keys/echo", headers={"x-api-key": key}).json())
        assert seen["authorization"] == f"Bearer {key}"
        assert "x-api-key" not in seen

    def test_the_question_bears_no_mark_of_a_forwarded_request(self, world: World) -> None:
        """The service refuses /internal to whoever bears them, so the gateway's own question must not."""
        world.client.get(
            "/v1/api-keys/echo",
            headers={**bearer(world.keys.mint()), "x-envoy-original-path": "/x", "x-forwarded-for": "1"},
        )
        names = {name for name, _ in world.questions[-1].headers}
        assert not names & {b"x-forwarded-for", b"x-envoy-original-path"}
        assert b"x-maas-internal-secret" in names


class TestRefusals:
    def test_without_a_credential(self, world: World) -> None:
        before = world.received("openai")
        answer = world.client.post("/external/openai/v1/chat/completions", json=CHAT)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["x-should-retry"] == "false"
        assert (error(answer)["type"], error(answer)["code"]) == ("authentication_error", "invalid_api_key")
        assert world.received("openai") == before

    def test_with_a_key_nobody_minted(self, world: World) -> None:
        answer = world.client.post("/llm/opt-125m/v1/chat/completions", json=LOCAL_CHAT, headers=bearer("sk-oai-a_b"))
        assert answer.status_code == 401
        assert "key not found" in error(answer)["message"]

    def test_with_a_key_revoked_since_the_last_request(self, world: World) -> None:
        key = world.keys.mint()
        path = "/llm/opt-125m/v1/chat/completions"
        assert world.client.post(path, json=LOCAL_CHAT, headers=bearer(key)).status_code == 200
        world.keys.revoke(key)
        answer = world.client.post(path, json=LOCAL_CHAT, headers=bearer(key))
        assert answer.status_code == 401
        assert "revoked" in error(answer)["message"]

    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/external/nobody/v1/chat/completions",
            "/external/openai",
            "/internal/v1/api-keys/validate",
            "/v2/models",
            "/v1x/chat/completions",
        ],
    )
    def test_a_path_that_leads_nowhere(self, world: World, path: str) -> None:
        answer = world.client.post(path, json={}, headers=bearer(world.keys.mint()))
        assert answer.status_code == 404
        assert error(answer)["code"] == "unknown_route"

    @pytest.mark.parametrize(
        "path",
        [
            "/maas-api/internal/v1/api-keys/cleanup",
            "/maas-api/v1/../internal/v1/api-keys/cleanup",
            "/maas-api/v1/..%2finternal/v1/api-keys/cleanup",
            "/maas-api/v1/%2e%2e/internal/v1/api-keys/cleanup",
            "/maas-api/v1/..%2F..%2Finternal/v1/api-keys/cleanup",
            "/v1/models/../../internal/v1/api-keys/cleanup",
            "//internal/v1/api-keys/cleanup",
            "/external/openai/..%2f..%2finternal/v1/api-keys/cleanup",
        ],
    )
    def test_internal_endpoints_by_any_spelling(self, world: World, path: str) -> None:
        request = world.client.build_request("POST", "/", headers=bearer(world.keys.mint()))
        request.url = request.url.copy_with(raw_path=path.encode())
        answer = world.client.send(request)
        assert answer.status_code == 404
        assert error(answer)["code"] == "unknown_route"

    def test_headers_that_pass_for_others_once_underscores_are_dashes(self, world: World) -> None:
        headers = {**bearer(world.keys.mint()), "X_MaaS_Username": "root"}
        answer = world.client.get("/v1/api-keys/echo", headers=headers)
        assert answer.status_code == 400
        assert error(answer)["type"] == "invalid_request_error"

    def test_while_the_store_is_silent(self, world: World) -> None:
        key, before = world.keys.mint(), world.received("local")
        world.keys.silent = True
        try:
            answer = world.client.post("/llm/opt-125m/v1/chat/completions", json=LOCAL_CHAT, headers=bearer(key))
        finally:
            world.keys.silent = False
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert "could not be checked" in error(answer)["message"]
        assert world.received("local") == before


class TestAllowLists:
    def test_a_provider_is_reached_for_listed_models_only(self, world: World) -> None:
        key, path = world.keys.mint(models=("gpt-4o-*", "facebook/opt-125m")), "/external/openai/v1/chat/completions"
        assert world.client.post(path, json=CHAT, headers=bearer(key)).status_code == 200
        before = world.received("openai")
        answer = world.client.post(path, json={**CHAT, "model": "gpt-4o"}, headers=bearer(key))
        assert answer.status_code == 403
        assert error(answer)["code"] == "model_not_allowed"
        assert world.received("openai") == before

    def test_a_local_model_is_judged_by_its_route(self, world: World) -> None:
        path = "/llm/opt-125m/v1/chat/completions"
        inside = world.client.post(path, json=LOCAL_CHAT, headers=bearer(world.keys.mint(models=("facebook/*",))))
        outside = world.client.post(path, json=LOCAL_CHAT, headers=bearer(world.keys.mint(models=("gpt-4o",))))
        assert (inside.status_code, outside.status_code) == (200, 403)

    def test_of_a_server_with_several_models_a_key_opens_the_listed_ones_alone(self, world: World) -> None:
        path, before = "/llm/adapted/v1/chat/completions", world.received("adapted")
        limited, free = (bearer(world.keys.mint(models=models)) for models in (("an-adapter",), None))
        asked = {**LOCAL_CHAT, "model": "an-adapter"}
        base = world.client.post(path, json={**asked, "model": "base-model"}, headers=limited)
        assert (base.status_code, error(base)["code"]) == (403, "model_not_allowed")
        none = world.client.post(path, json={"messages": asked["messages"]}, headers=limited)
        assert (none.status_code, error(none)["code"]) == (400, "invalid_body")
        assert world.received("adapted") == before
        assert world.client.post(path, json=asked, headers=limited).status_code == 200
        assert world.client.get("/llm/adapted/v1/models", headers=limited).status_code == 200
        large = {**asked, "messages": [{"role": "user", "content": "x" * (3 << 20)}]}
        for headers in (limited, free):
            assert world.client.post(path, json=large, headers=headers).status_code == 200
        assert world.received("adapted") == before + 4

    def test_a_request_of_many_megabytes_is_judged_whole(self, world: World) -> None:
        path = "/external/openai/v1/chat/completions"
        large = {**CHAT, "messages": [{"role": "user", "content": "x" * (5 << 20)}], "model": "gpt-4o"}
        for models, status in ((("gpt-4o",), 200), (("gpt-4",), 403), (None, 200)):
            answer = world.client.post(path, json=large, headers=bearer(world.keys.mint(models=models)))
            assert answer.status_code == status
        assert len(world.simulators["openai"].received[-1].body) > 5 << 20

    def test_one_beyond_the_bound_is_413_in_the_sdks_shape(self, world: World) -> None:
        before = world.received("openai")
        large = {**CHAT, "messages": [{"role": "user", "content": "x" * (33 << 20)}]}
        answer = world.client.post("/v1/chat/completions", json=large, headers=bearer(world.keys.mint()))
        assert (answer.status_code, error(answer)["code"]) == (413, "request_too_large")
        assert world.received("openai") == before


WORDS = (
    *("llm", "opt-125m", "external", "openai", "anthropic", "v1", "chat", "completions", "models", "internal"),
    *("maas-api", "..", ".", "", "%2e%2e", "..%2f", "%2F", "%5c..%5c", "..;", "%00", "%09", "%252e%252e", "LLM"),
    *("%6c%6c%6d", "#", "?", "%3f", "@", "*", "\\", "x%2f..%2f..%2fexternal%2fopenai%2fv1"),
)


def test_no_spelling_of_a_path_takes_a_limited_key_to_another_model(world: World) -> None:
    """Envoy routes and the authorizer judges: they must mean the same path, or the request must not pass."""
    chance = random.Random(20260315)
    to_local = world.keys.mint(models=("facebook/opt-125m",))
    to_openai = world.keys.mint(models=("gpt-4o-mini",))
    body = json.dumps({**CHAT, "model": "claude-x"})
    before = {name: world.received(name) for name in world.simulators}
    statuses = set()
    for _ in range(300):
        path = (
            "/" + "/".join(chance.choices(WORDS, k=chance.randint(1, 6))) + chance.choice(("/v1/chat/completions", ""))
        )
        for start, key in (("/llm/opt-125m", to_local), ("/external/openai", to_openai), ("", to_local)):
            # Not httpx: it would tidy the path first.
            connection = http.client.HTTPConnection(*world.process.address, timeout=20)
            headers = {**bearer(key), "Content-Type": "application/json"}
            connection.request("POST", start + path, body, headers)
            statuses.add(connection.getresponse().status)
            connection.close()
    after = {name: world.received(name) for name in world.simulators}
    assert (after["openai"], after["anthropic"]) == (before["openai"], before["anthropic"])
    assert after["local"] > before["local"], "the limited key does reach its own model"
    assert 200 not in statuses, "nobody serves claude-x there"
    assert statuses <= {400, 401, 403, 404, 405, 413}, "and nothing broke on the way"


def test_health_needs_no_credential(world: World) -> None:
    answer = world.client.get("/maas-api/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


def test_neither_log_nor_configuration_nor_process_list_shows_a_key(world: World) -> None:
    key = world.keys.mint()
    world.client.post(f"/external/openai/v1/chat/completions?key={key}", json=CHAT, headers=bearer(key))

    def logged() -> str:
        return world.process.access_log_file.read_text()

    until(lambda: '"route":"external/openai"' in logged(), what="the access log is written")
    lines = [json.loads(line) for line in logged().splitlines()]
    assert all(line["request_id"] for line in lines if line["status"] == 200)
    configuration = "".join(
        (world.process.folder / name).read_text() for name in ("bootstrap.yaml", "clusters.yaml", "routes.yaml")
    )
    process = Path(f"/proc/{world.process.pid}")
    command, environment = (process / "cmdline").read_text(), (process / "environ").read_text()
    for secret in (key, *world.provider_keys.values()):
        for place in (logged(), world.process.log_file.read_text(), configuration, command, environment):
            assert secret not in place
    for file_name in (world.process.folder / "secrets").iterdir():
        assert file_name.stat().st_mode & 0o777 == 0o600
