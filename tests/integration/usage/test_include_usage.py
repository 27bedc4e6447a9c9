"""Streams whose client did not ask for their usage, through the real Envoy: metered, and what the SDK then sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import openai
import pytest

from maas_api.gateway import envoy
from maas_api.gateway.envoy.secrets import INTERNAL_SECRET, provider_secret
from maas_api.gateway.process import EnvoyProcess
from maas_api.providers import provider
from tests.support.metered import Wanted
from tests.support.otelcol import relay
from tests.support.place import Place, placed
from tests.support.rendered import CALLS, Counted, applied

MODEL = CALLS["openai"][1]["model"]
ASKED = Wanted("chat", True, 40, 2)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with placed(tmp_path_factory.mktemp("asking")) as found:
        yield found


@pytest.fixture(scope="module", params=["local", "istio"])
def gateway(request: pytest.FixtureRequest, place: Place) -> Iterator[str]:
    """The address of a gateway that asks for what clients left out."""
    folder = place.folder / request.param
    folder.mkdir()
    site = place.site
    with ExitStack() as stack:
        if request.param == "istio":
            address = stack.enter_context(relay(f"{site.service}/internal/v1/usage", place.secret))
            running: Any = applied("istio", site, folder, stack, counted=Counted("filter", address, include_usage=True))
            stack.callback(running.stop)
        else:
            running = stack.enter_context(EnvoyProcess(folder / "envoy"))
            running.put_secret(INTERNAL_SECRET, place.secret)
            running.put_secret(provider_secret("openai"), site.provider_keys["openai"])
            to = envoy.Address("127.0.0.1", site.simulators["openai"].port)
            running.start(
                envoy.Plan(
                    listen=envoy.Address("127.0.0.1", 0),
                    maas_api=envoy.Upstream.from_url(site.service),
                    providers=(envoy.provider_route(provider("openai"), ca_file=site.ca_file, connect_to=to),),
                    internal_secret=True,
                    include_usage=True,
                )
            )
        yield f"http://127.0.0.1:{running.address.port}/external/openai/v1"


def streamed(gateway: str, key: str, **more: Any) -> list[Any]:
    """The chunks of a stream, by OpenAI's SDK."""
    with openai.OpenAI(base_url=gateway, api_key=key, max_retries=0) as sdk:
        asked = {"wanted": ASKED._asdict(), "as_asked": True}
        messages: Any = [{"role": "user", "content": "Hello, you there"}]
        return list(sdk.chat.completions.create(model=MODEL, messages=messages, stream=True, extra_body=asked, **more))


def test_a_stream_is_metered_whose_client_did_not_ask(gateway: str, place: Place) -> None:
    key = place.key()
    chunks = streamed(gateway, key["key"])
    last = chunks[-1]
    assert (last.choices, last.usage.prompt_tokens, last.usage.completion_tokens) == ([], 40, 2)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks[:-1])
    found = place.settled(key, 1)
    assert (found["unmetered"], found["inputTokens"], found["outputTokens"]) == (0, 40, 2)


def test_who_says_no_gets_what_it_wants_and_stays_unmetered(gateway: str, place: Place) -> None:
    key = place.key()
    chunks = streamed(gateway, key["key"], stream_options={"include_usage": False})
    assert all(chunk.choices for chunk in chunks)
    assert place.settled(key, 1)["unmetered"] == 1
