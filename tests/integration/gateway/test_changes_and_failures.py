"""What happens when something changes under a running gateway, or breaks: never an open door."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml

from maas_api import providers
from maas_api.demo.certificates import Authority
from maas_api.demo.simulators.openai_api import openai_api
from maas_api.demo.simulators.server import Received, Simulator, Whole
from maas_api.gateway import envoy
from maas_api.gateway.envoy.secrets import INTERNAL_SECRET, provider_secret
from maas_api.gateway.process import EnvoyError, EnvoyProcess, write_atomically
from tests.support.ports import free_port
from tests.support.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.gateway.conftest import World

CHAT = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
OPENAI = "/external/openai/v1/chat/completions"


@pytest.fixture
def process(world: World, tmp_path: Path) -> Iterator[EnvoyProcess]:
    """A gateway of the test's own, before its start, with the world's service and keys behind it."""
    with EnvoyProcess(tmp_path / "envoy") as process:
        for name in (INTERNAL_SECRET, *map(provider_secret, world.provider_keys)):
            file = Path("secrets") / f"{name}.yaml"
            (process.folder / file.parent).mkdir(parents=True, exist_ok=True)
            write_atomically(process.folder / file, (world.process.folder / file).read_text(), mode=0o600)
        yield process


def ask(process: EnvoyProcess, world: World, path: str = OPENAI) -> httpx.Response:
    """One request with a good key, for a model that is registered there."""
    model = "claude-sonnet-4-20250514" if "anthropic" in path else CHAT["model"]
    return httpx.post(
        f"http://127.0.0.1:{process.address.port}{path}",
        json={**CHAT, "model": model},
        headers={"Authorization": f"Bearer {world.keys.mint()}"},
        trust_env=False,
        timeout=20,
    )


def test_a_rotated_provider_key_is_used_without_a_restart(world: World, process: EnvoyProcess) -> None:
    process.start(world.plan)
    assert ask(process, world).status_code == 200
    process.put_secret(provider_secret("openai"), "rotated")
    until(lambda: ask(process, world).status_code == 502, what="the provider sees the other key")
    assert world.simulators["openai"].received[-1].header("authorization") == "Bearer rotated"
    process.put_secret(provider_secret("openai"), world.provider_keys["openai"])
    until(lambda: ask(process, world).status_code == 200, what="the provider sees its own key again")


class TestACredentialThatIsRefusedBehindTheGateway:
    @pytest.mark.parametrize(("name", "path"), [("openai", OPENAI), ("anthropic", "/external/anthropic/v1/messages")])
    def test_a_providers_is_the_operators_matter_and_not_the_callers(
        self, world: World, process: EnvoyProcess, name: str, path: str
    ) -> None:
        """The provider's own answer blames the caller's key and shows the tail of the operator's."""
        process.put_secret(provider_secret(name), "outdated")
        process.start(world.plan)
        before = world.received(name)
        answer = ask(process, world, path)
        assert world.received(name) == before + 1
        assert (answer.status_code, answer.headers["content-type"]) == (502, "application/json")
        error = answer.json()["error"]
        assert (error["type"], error["code"]) == ("server_error", "provider_credential_refused")
        assert "own key, not yours" in error["message"]
        assert "www-authenticate" not in answer.headers
        unknown = httpx.post(
            f"http://127.0.0.1:{process.address.port}{path}", headers={"x-api-key": "sk-oai-a_b"}, trust_env=False
        )
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (401, "invalid_api_key")
        assert unknown.headers["www-authenticate"].startswith("Bearer")

    def test_a_providers_that_is_empty_is_no_fault_of_the_callers_either(
        self, world: World, process: EnvoyProcess
    ) -> None:
        file = process.folder / "secrets" / f"{provider_secret('openai')}.yaml"
        secret = yaml.safe_load(file.read_text())
        secret["resources"][0]["generic_secret"]["secret"]["inline_string"] = ""
        write_atomically(file, yaml.safe_dump(secret), mode=0o600)
        process.start(world.plan)
        before = world.received("openai")
        answer = ask(process, world)
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "provider_key")
        assert world.received("openai") == before

    def test_a_local_models_own_answer_passes_as_it_is(self, world: World, process: EnvoyProcess) -> None:
        body = {"error": "this server wants a token of its own"}
        with Simulator("guarded", lambda _request: Whole(401, body)) as model:
            route = envoy.LocalRoute(path_prefix="/llm/guarded/", upstream=envoy.Upstream.from_url(model.url))
            process.start(dataclasses.replace(world.plan, models=(route,)))
            answer = ask(process, world, "/llm/guarded/v1/chat/completions")
        assert (answer.status_code, answer.json()) == (401, body)


def test_models_and_providers_come_and_go_without_a_restart(world: World, process: EnvoyProcess) -> None:
    process.start(dataclasses.replace(world.plan, models=(), providers=()))
    pid, local = process.pid, "/llm/opt-125m/v1/models"

    def routed() -> list[bool]:
        return ["unknown_route" not in ask(process, world, path).text for path in (local, OPENAI)]

    assert routed() == [False, False]
    process.apply(world.plan)
    assert routed() == [True, True]
    process.apply(dataclasses.replace(world.plan, providers=()))
    assert routed() == [True, False]
    assert process.pid == pid


def test_a_configuration_that_envoy_refuses_changes_nothing(
    world: World, process: EnvoyProcess, tmp_path: Path
) -> None:
    process.start(world.plan)
    broken = dataclasses.replace(world.plan, providers=(_to(world, ca_file=tmp_path / "missing.pem"),))
    with pytest.raises(EnvoyError, match=r"refused clusters\.yaml[\s\S]*missing\.pem"):
        process.apply(broken)
    assert ask(process, world).status_code == 200
    process.apply(dataclasses.replace(world.plan, models=()))
    assert ask(process, world).status_code == 200


def test_a_provider_whose_certificate_another_ca_signed_gets_nothing(
    world: World, process: EnvoyProcess, tmp_path: Path
) -> None:
    other = Authority().write(tmp_path / "other.pem")
    before = world.received("openai")
    process.start(dataclasses.replace(world.plan, providers=(_to(world, ca_file=other),)))
    answer = ask(process, world)
    assert answer.status_code == 503
    assert "CERTIFICATE_VERIFY_FAILED" in answer.json()["error"]["message"]
    assert world.received("openai") == before


def test_a_provider_whose_certificate_names_somebody_else_gets_nothing(
    world: World, process: EnvoyProcess, tmp_path: Path
) -> None:
    authority = Authority()
    ca_file = authority.write(tmp_path / "ca.pem")
    with Simulator("other", openai_api("k"), certificate=authority.server("api.example.com")) as other:
        route = _to(world, ca_file=ca_file, port=other.port)
        process.start(dataclasses.replace(world.plan, providers=(route,)))
        answer = ask(process, world)
        assert answer.status_code == 503
        assert "code" in answer.json()["error"]
        assert len(other.received) == 0


def test_without_the_authorizer_nothing_passes(world: World, process: EnvoyProcess) -> None:
    gone = envoy.Upstream(host="127.0.0.1", port=free_port())
    process.start(dataclasses.replace(world.plan, maas_api=gone))
    before = {name: world.received(name) for name in world.simulators}
    for path in (OPENAI, "/external/anthropic/v1/messages", "/llm/opt-125m/v1/chat/completions", "/v1/models"):
        answer = ask(process, world, path)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "could not be checked" in answer.json()["error"]["message"]
    assert {name: world.received(name) for name in world.simulators} == before


def test_an_authorizer_that_refuses_the_gateways_own_secret_lets_nothing_pass(
    world: World, process: EnvoyProcess
) -> None:
    process.put_secret(INTERNAL_SECRET, "wrong")
    process.start(world.plan)
    before = world.received("openai")
    assert ask(process, world).status_code == 401
    assert world.received("openai") == before


def test_a_model_server_that_is_down_is_named_as_the_cause(world: World, process: EnvoyProcess) -> None:
    down = envoy.LocalRoute(path_prefix="/llm/down/", upstream=envoy.Upstream(host="127.0.0.1", port=free_port()))
    process.start(dataclasses.replace(world.plan, models=(down,)))
    answer = ask(process, world, "/llm/down/v1/chat/completions")
    assert answer.status_code == 503
    assert "could not reach the model's server" in answer.json()["error"]["message"]


def test_a_request_that_a_model_has_seen_is_not_sent_again(world: World, process: EnvoyProcess) -> None:
    """Whoever pays for tokens would pay twice."""

    def hang_up(_request: Received) -> Whole:
        raise ConnectionAbortedError

    with Simulator("hangs up", hang_up) as model:
        upstream = envoy.Upstream.from_url(model.url)
        route = envoy.LocalRoute(path_prefix="/llm/hangs-up/", upstream=upstream)
        process.start(dataclasses.replace(world.plan, models=(route,)))
        answer = ask(process, world, "/llm/hangs-up/v1/chat/completions")
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "unreachable"
        assert len(model.received) == 1


class TestStarting:
    def test_names_the_secret_that_is_missing(self, world: World, tmp_path: Path) -> None:
        with (
            EnvoyProcess(tmp_path / "envoy") as process,
            pytest.raises(EnvoyError, match="'provider-openai' has no file"),
        ):
            process.start(dataclasses.replace(world.plan, internal_secret=False))

    def test_says_what_envoy_said_when_it_ends(self, world: World, process: EnvoyProcess) -> None:
        taken = dataclasses.replace(world.plan, listen=world.process.address)
        with pytest.raises(EnvoyError, match="ended before it could"):
            process.start(taken)
        assert process.pid is None

    def test_twice_is_refused(self, world: World, process: EnvoyProcess) -> None:
        process.start(world.plan)
        with pytest.raises(EnvoyError, match="already"):
            process.start(world.plan)

    def test_leaves_no_process_behind(self, world: World, process: EnvoyProcess) -> None:
        process.start(world.plan)
        pid = process.pid
        process.stop()
        process.stop()
        assert not Path(f"/proc/{pid}").exists()
        with pytest.raises(EnvoyError, match="not running"):
            _ = process.address


def test_a_replaced_file_keeps_its_mode_and_leaves_no_rest(tmp_path: Path) -> None:
    target = tmp_path / "file"
    write_atomically(target, "one", mode=0o600)
    write_atomically(target, "two", mode=0o600)
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("two", 0o600)
    assert list(tmp_path.iterdir()) == [target]


def _to(world: World, *, ca_file: Path, port: int | None = None) -> envoy.ProviderRoute:
    connect_to = envoy.Address("127.0.0.1", port or world.simulators["openai"].port)
    return envoy.provider_route(providers.provider("openai"), ca_file=ca_file, connect_to=connect_to)
