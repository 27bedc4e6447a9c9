"""A page in a browser may call the gateway where an operator says so, and is told why a call is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from maas_api.gateway import envoy
from maas_api.gateway.process import EnvoyProcess

PAGE, ELSEWHERE = "https://chat.example", "https://evil.example"
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
CALL = "/v1/chat/completions"


@pytest.fixture(scope="module", params=[(PAGE,), ("*",), ()], ids=["one origin", "any origin", "none"])
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[httpx.Client, set[str]]]:
    """A gateway whose authorizer does not answer, and the origins that it lets in."""
    origins: tuple[str, ...] = request.param
    plan = envoy.Plan(
        listen=envoy.Address("127.0.0.1", 0),
        maas_api=envoy.Upstream.from_url("http://127.0.0.1:9"),
        cors_origins=origins,
    )
    folder: Path = tmp_path_factory.mktemp("cors")
    with ExitStack() as stack:
        process = stack.enter_context(EnvoyProcess(folder / "envoy"))
        process.start(plan)
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{process.address.port}", trust_env=False))
        yield client, {PAGE, ELSEWHERE} if origins == ("*",) else set(origins)


@pytest.mark.parametrize("origin", [PAGE, ELSEWHERE])
@pytest.mark.parametrize("path", [CALL, "/v1/models", "/external/openai/v1/chat/completions", "/llm/m/v1/completions"])
def test_a_preflight_needs_no_key_and_allows_the_origins_that_are_named(
    gateway: tuple[httpx.Client, set[str]], origin: str, path: str
) -> None:
    client, allowed = gateway
    answer = client.options(path, headers={"Origin": origin, **ASKS})
    assert answer.status_code in ({200} if origin in allowed else {204, 503})
    assert answer.headers.get("access-control-allow-origin") == (origin if origin in allowed else None)
    if origin in allowed:
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert "authorization" in answer.headers["access-control-allow-headers"]
        assert answer.headers.get("access-control-allow-credentials") is None, "no cookie opens anything"


@pytest.mark.parametrize("origin", [PAGE, ELSEWHERE])
def test_a_refusal_can_be_read_by_an_allowed_page(gateway: tuple[httpx.Client, set[str]], origin: str) -> None:
    client, allowed = gateway
    answer = client.post(CALL, json={"model": "m"}, headers={"Origin": origin, "Authorization": "Bearer x"})
    assert answer.status_code == 503
    assert answer.headers.get("access-control-allow-origin") == (origin if origin in allowed else None)


@pytest.mark.parametrize(
    "origin", ["chat.example", "https://chat.example/", "https://CHAT.example", "null", "https://*"]
)
def test_what_no_browser_sends_is_refused_in_the_plan(origin: str) -> None:
    with pytest.raises(envoy.PlanError, match="origin"):
        envoy.Plan(
            listen=envoy.Address("127.0.0.1", 0),
            maas_api=envoy.Upstream.from_url("http://127.0.0.1:9"),
            cors_origins=(origin,),
        )
