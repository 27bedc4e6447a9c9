"""The official SDKs work through the gateway with a MaaS key: chat, streams, listings, errors of the right class."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from maas_api.demo.seed import CALLS
from maas_api.demo.stack import Stack

LOCAL, GPT, CLAUDE = CALLS
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]

# The SDK knows this model's end of life; the simulator outlives it.
pytestmark = pytest.mark.filterwarnings("ignore:The model 'claude-sonnet-4-20250514' is deprecated:DeprecationWarning")


class OpenAIs:
    """OpenAI clients for different places behind one gateway."""

    def __init__(self, stack: Stack, key: str) -> None:
        self._stack, self._key = stack, key
        self._made: list[openai.OpenAI] = []

    def __call__(self, base: str = "", key: str | None = None) -> openai.OpenAI:
        client = openai.OpenAI(base_url=f"{self._stack.url}{base}/v1", api_key=key or self._key, max_retries=0)
        self._made.append(client)
        return client

    def close(self) -> None:
        for client in self._made:
            client.close()


@pytest.fixture
def openai_at(stack: Stack, key: str) -> Iterator[OpenAIs]:
    clients = OpenAIs(stack, key)
    yield clients
    clients.close()


@pytest.fixture(params=["api_key", "auth_token", "x-api-key"])
def claude(stack: Stack, key: str, request: pytest.FixtureRequest) -> Iterator[anthropic.Anthropic]:
    """An Anthropic client that presents the MaaS key in each way a client may."""
    how: dict[str, Any] = {request.param: key}
    if request.param == "x-api-key":
        how = {"api_key": key, "default_headers": {"X-Api-Key": key, "Authorization": anthropic.omit}}
    with anthropic.Anthropic(base_url=f"{stack.url}{CLAUDE.base}", max_retries=0, **how) as client:
        yield client


@pytest.fixture
def claude_listing(stack: Stack, key: str) -> Iterator[anthropic.Anthropic]:
    """An Anthropic client pointed at the gateway itself, for its model list."""
    with anthropic.Anthropic(base_url=stack.url, api_key=key, max_retries=0) as client:
        yield client


def test_one_key_chats_with_the_local_model_and_with_openai(openai_at: OpenAIs) -> None:
    local = openai_at(LOCAL.base).chat.completions.create(model=LOCAL.model, messages=HELLO, max_tokens=10)
    assert (local.choices[0].message.content, local.choices[0].finish_reason) == ("To be ", "stop")
    gpt = openai_at(GPT.base).chat.completions.create(model=GPT.model, messages=HELLO, max_tokens=5)
    assert (gpt.choices[0].message.content, gpt.choices[0].finish_reason) == ("Hello! How can I", "length")
    assert gpt.usage is not None
    assert gpt.usage.total_tokens == 13


def test_openai_streams_through_the_gateway(openai_at: OpenAIs) -> None:
    stream = openai_at(GPT.base).chat.completions.create(
        model=GPT.model, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    words = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(words) == "Hello! How can I assist you today?"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 9


def test_openai_lists_local_and_external_models(openai_at: OpenAIs) -> None:
    listed = {model.id: model.owned_by for model in openai_at().models.list()}
    assert set(listed) >= {call.model for call in CALLS}
    assert listed[GPT.model] == "openai"
    assert listed[CLAUDE.model] == "anthropic"


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.model)
def test_openai_retrieves_every_model_slashes_included(openai_at: OpenAIs, call: Any) -> None:
    assert openai_at().models.retrieve(call.model).id == call.model


def test_openai_gets_not_found_for_an_unknown_model(openai_at: OpenAIs) -> None:
    with pytest.raises(openai.NotFoundError, match="no/such-model"):
        openai_at().models.retrieve("no/such-model")
    with pytest.raises(openai.NotFoundError, match="gpt-none"):  # the provider's own word, passed on
        openai_at(GPT.base).chat.completions.create(model="gpt-none", messages=HELLO)


@pytest.mark.parametrize("base", ["", LOCAL.base, GPT.base])
@pytest.mark.parametrize("twist", [lambda _: "sk-oai-junk", lambda key: key[:-1] + "~", lambda key: key.upper()])
def test_openai_gets_authentication_error_for_a_bad_key(openai_at: OpenAIs, key: str, base: str, twist: Any) -> None:
    client = openai_at(base, twist(key))
    with pytest.raises(openai.AuthenticationError) as caught:
        client.models.list()
    assert caught.value.status_code == 401
    assert caught.value.body is not None  # OpenAI's error shape, which the SDK could read
    assert key not in str(caught.value)


def test_anthropic_chats_however_it_presents_the_key(claude: anthropic.Anthropic) -> None:
    done = claude.messages.create(model=CLAUDE.model, messages=HELLO, max_tokens=5)
    assert done.content[0].type == "text"
    assert (done.content[0].text, done.stop_reason) == ("Hello! How are you", "max_tokens")
    assert (done.usage.input_tokens, done.usage.output_tokens) == (8, 5)


def test_anthropic_streams_through_the_gateway(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(model=CLAUDE.model, messages=HELLO, max_tokens=50) as stream:
        assert "".join(stream.text_stream).startswith("Hello! How are you doing today?")
        assert stream.get_final_message().stop_reason == "end_turn"


def test_anthropic_lists_and_retrieves_models(claude_listing: anthropic.Anthropic) -> None:
    listed = [model.id for model in claude_listing.models.list()]
    assert set(listed) >= {call.model for call in CALLS}
    for call in CALLS:
        assert claude_listing.models.retrieve(call.model).id == call.model


def test_anthropic_gets_not_found_for_an_unknown_model(
    claude: anthropic.Anthropic, claude_listing: anthropic.Anthropic
) -> None:
    with pytest.raises(anthropic.NotFoundError, match="claude-none"):
        claude.messages.create(model="claude-none", messages=HELLO, max_tokens=5)
    with pytest.raises(anthropic.NotFoundError, match="no/such-model"):
        claude_listing.models.retrieve("no/such-model")


@pytest.mark.parametrize("how", ["api_key", "auth_token"])
@pytest.mark.parametrize("base", ["", CLAUDE.base])
def test_anthropic_gets_authentication_error_for_a_bad_key(stack: Stack, key: str, base: str, how: str) -> None:
    bad: dict[str, Any] = {how: key[:-1] + "~"}
    with anthropic.Anthropic(base_url=f"{stack.url}{base}", max_retries=0, **bad) as client:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            client.models.list()
        assert key not in str(caught.value)


def test_the_provider_gets_its_own_key_and_the_callers_version_and_nothing_of_the_platform(
    stack: Stack, claude: anthropic.Anthropic, key: str
) -> None:
    claude.messages.create(
        model=CLAUDE.model, messages=HELLO, max_tokens=5, extra_headers={"anthropic-version": "2023-06-01"}
    )
    last = stack.simulators["anthropic"].received[-1]
    assert (last.path, last.sni, last.header("host")) == ("/v1/messages", "api.anthropic.com", "api.anthropic.com")
    assert last.header("x-api-key") == stack.keys["anthropic"]
    assert last.header("anthropic-version") == "2023-06-01"
    assert last.header("authorization") is None
    assert key not in last.text()
    names = [name.lower() for name, _ in last.headers]
    assert [name for name in names if name.startswith(("x-maas-", "x-envoy-", "x-forwarded-"))] == []
