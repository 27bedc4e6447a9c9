"""The simulators answer as the official SDKs expect of the real services, and only to their own key."""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from maas_api.demo.certificates import Authority
from maas_api.demo.simulators.anthropic_api import anthropic_api
from maas_api.demo.simulators.model_server import model_server
from maas_api.demo.simulators.openai_api import openai_api
from maas_api.demo.simulators.server import Simulator

HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
LOCAL = "facebook/opt-125m"
GPT = "gpt-4o-mini"
CLAUDE = "claude-sonnet-4-20250514"

# The SDK knows this model's end of life; the simulator outlives it.
pytestmark = pytest.mark.filterwarnings("ignore:The model 'claude-sonnet-4-20250514' is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def trust(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    path: Path = authority.write(tmp_path_factory.mktemp("ca") / "ca.pem")
    return ssl.create_default_context(cafile=str(path))


@pytest.fixture(scope="module")
def provider_key() -> str:
    return secrets.token_urlsafe(24)


@pytest.fixture(scope="module")
def openai_server(authority: Authority, provider_key: str) -> Iterator[Simulator]:
    tls = authority.server("api.openai.com")
    with Simulator("openai", openai_api(provider_key), certificate=tls, pause=0) as server:
        yield server


@pytest.fixture(scope="module")
def anthropic_server(authority: Authority, provider_key: str) -> Iterator[Simulator]:
    tls = authority.server("api.anthropic.com")
    with Simulator("anthropic", anthropic_api(provider_key), certificate=tls, pause=0) as server:
        yield server


@pytest.fixture(scope="module")
def local_server() -> Iterator[Simulator]:
    with Simulator("model server", model_server(LOCAL), pause=0) as server:
        yield server


def as_host(name: str) -> Any:
    """A request hook: ask TLS for the real service's name although the connection goes to 127.0.0.1."""

    def hook(request: Any) -> None:
        request.extensions["sni_hostname"] = name

    return hook


@pytest.fixture
def gpt(openai_server: Simulator, trust: ssl.SSLContext, provider_key: str) -> Iterator[openai.OpenAI]:
    http_client = openai.DefaultHttpxClient(verify=trust, event_hooks={"request": [as_host("api.openai.com")]})
    with openai.OpenAI(
        base_url=f"{openai_server.url}/v1", api_key=provider_key, http_client=http_client, max_retries=0
    ) as client:
        yield client


@pytest.fixture
def claude(anthropic_server: Simulator, trust: ssl.SSLContext, provider_key: str) -> Iterator[anthropic.Anthropic]:
    http_client = anthropic.DefaultHttpxClient(verify=trust, event_hooks={"request": [as_host("api.anthropic.com")]})
    with anthropic.Anthropic(
        base_url=anthropic_server.url, api_key=provider_key, http_client=http_client, max_retries=0
    ) as client:
        yield client


@pytest.fixture
def local(local_server: Simulator) -> Iterator[openai.OpenAI]:
    http_client = openai.DefaultHttpxClient()
    with openai.OpenAI(
        base_url=f"{local_server.url}/v1", api_key="none", http_client=http_client, max_retries=0
    ) as client:
        yield client


def test_openai_answers_hello_as_the_real_service_did(gpt: openai.OpenAI) -> None:
    done = gpt.chat.completions.create(model=GPT, messages=HELLO, max_tokens=5, temperature=0)
    assert (done.choices[0].message.content, done.choices[0].finish_reason) == ("Hello! How can I", "length")
    assert done.model == "gpt-4o-mini-2024-07-18"
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (8, 5, 13)


@pytest.mark.parametrize("limit", [{"max_tokens": 2}, {"max_completion_tokens": 2}])
def test_openai_obeys_the_token_limit_under_both_names(gpt: openai.OpenAI, limit: dict[str, Any]) -> None:
    done = gpt.chat.completions.create(model=GPT, messages=HELLO, **limit)
    assert (done.choices[0].message.content, done.choices[0].finish_reason) == ("Hello!", "length")


def test_openai_ends_by_itself_without_a_limit(gpt: openai.OpenAI) -> None:
    choice = gpt.chat.completions.create(model=GPT, messages=HELLO).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("Hello! How can I assist you today?", "stop")


def test_openai_streams_word_by_word_with_usage_at_the_end(gpt: openai.OpenAI) -> None:
    chunks = list(
        gpt.chat.completions.create(
            model=GPT, messages=HELLO, max_tokens=5, stream=True, stream_options={"include_usage": True}
        )
    )
    words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert words == ["Hello", "!", " How", " can", " I"]
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "length"
    assert [chunk.usage is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 13


def test_openai_streams_no_usage_unasked(gpt: openai.OpenAI) -> None:
    chunks = list(gpt.chat.completions.create(model=GPT, messages=HELLO, stream=True))
    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_openai_serves_legacy_completions(gpt: openai.OpenAI) -> None:
    done = gpt.completions.create(model=GPT, prompt="Hello", max_tokens=1)
    assert (done.choices[0].text, done.choices[0].finish_reason) == ("Hello", "length")
    streamed = gpt.completions.create(model=GPT, prompt="Hello", stream=True)
    assert "".join(part.choices[0].text for part in streamed) == "Hello! How can I assist you today?"


def test_openai_lists_and_retrieves_models(gpt: openai.OpenAI) -> None:
    assert GPT in [model.id for model in gpt.models.list()]
    assert gpt.models.retrieve(GPT).owned_by == "system"


def test_openai_refuses_another_key(gpt: openai.OpenAI, provider_key: str) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        gpt.with_options(api_key=provider_key + "x").models.list()
    assert caught.value.code == "invalid_api_key"
    assert provider_key not in str(caught.value)


def test_openai_names_an_unknown_model(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="gpt-none") as caught:
        gpt.chat.completions.create(model="gpt-none", messages=HELLO)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError, match="gpt-none"):
        gpt.models.retrieve("gpt-none")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"model": GPT}, "messages"),
        ({"messages": HELLO}, "model"),
        ({"model": 5, "messages": HELLO}, "model"),
        ({"model": GPT, "messages": []}, "messages"),
        ({"model": GPT, "messages": "Hello"}, "messages"),
        ({"model": GPT, "messages": HELLO, "max_tokens": 0}, "max_tokens"),
        ({"model": GPT, "messages": HELLO, "max_completion_tokens": True}, "max_completion_tokens"),
    ],
)
def test_openai_names_the_broken_parameter(gpt: openai.OpenAI, body: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.post("/chat/completions", body=body, cast_to=object)
    assert caught.value.param == param


def test_openai_refuses_what_is_not_json(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="parse the JSON"):
        gpt.post("/chat/completions", content=b"{", cast_to=object)


def test_openai_knows_its_paths_and_methods(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="Invalid URL"):
        gpt.get("/nothing", cast_to=object)
    with pytest.raises(openai.APIStatusError, match="Not allowed to GET") as caught:
        gpt.get("/chat/completions", cast_to=object)
    assert caught.value.status_code == 405


def test_anthropic_answers_hello_as_the_real_service_did(claude: anthropic.Anthropic) -> None:
    done = claude.messages.create(model=CLAUDE, messages=HELLO, max_tokens=5)
    assert done.content[0].type == "text"
    assert (done.content[0].text, done.stop_reason) == ("Hello! How are you", "max_tokens")
    assert (done.usage.input_tokens, done.usage.output_tokens) == (8, 5)


def test_anthropic_streams_every_event_in_order(claude: anthropic.Anthropic) -> None:
    kinds = [part.type for part in claude.messages.create(model=CLAUDE, messages=HELLO, max_tokens=5, stream=True)]
    assert kinds == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 5,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]  # the SDK keeps pings to itself


def test_anthropic_stream_adds_up_to_the_message(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(model=CLAUDE, messages=HELLO, max_tokens=500) as stream:
        assert "".join(stream.text_stream) == "Hello! How are you doing today? Is there anything I can help you with?"
        final = stream.get_final_message()
    assert (final.stop_reason, final.usage.input_tokens) == ("end_turn", 8)


def test_anthropic_counts_tokens_and_lists_models(claude: anthropic.Anthropic) -> None:
    assert claude.messages.count_tokens(model=CLAUDE, messages=HELLO).input_tokens == 8
    assert CLAUDE in [model.id for model in claude.models.list()]
    assert claude.models.retrieve(CLAUDE).display_name == "Claude Sonnet 4"


def test_anthropic_refuses_another_key(claude: anthropic.Anthropic, provider_key: str) -> None:
    with pytest.raises(anthropic.AuthenticationError, match="invalid bearer token") as caught:
        claude.with_options(api_key=provider_key + "x").messages.create(model=CLAUDE, messages=HELLO, max_tokens=5)
    assert caught.value.request_id is not None
    assert provider_key not in str(caught.value)


def test_anthropic_takes_its_key_as_a_header_of_its_own(claude: anthropic.Anthropic, provider_key: str) -> None:
    own: Any = {"X-Api-Key": provider_key, "Authorization": anthropic.omit}
    assert list(claude.models.list(extra_headers=own))
    wrong: Any = {**own, "X-Api-Key": "x"}
    with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key"):
        claude.models.list(extra_headers=wrong)
    nothing: Any = {"X-Api-Key": "", "Authorization": anthropic.omit}
    with pytest.raises(anthropic.AuthenticationError):
        claude.models.list(extra_headers=nothing)


def test_anthropic_refuses_a_wrong_credential_beside_the_right_one(
    claude: anthropic.Anthropic, provider_key: str
) -> None:
    both = {"X-Api-Key": provider_key, "Authorization": "Bearer something-else"}
    with pytest.raises(anthropic.AuthenticationError, match="invalid bearer token"):
        claude.models.list(extra_headers=both)


def test_anthropic_names_an_unknown_model(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError, match="claude-none"):
        claude.messages.create(model="claude-none", messages=HELLO, max_tokens=5)
    with pytest.raises(anthropic.NotFoundError, match="claude-none"):
        claude.models.retrieve("claude-none")


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ({"model": CLAUDE, "messages": HELLO}, "max_tokens: Field required"),
        ({"model": CLAUDE, "max_tokens": 5}, "messages: Field required"),
        ({"messages": HELLO, "max_tokens": 5}, "model: Field required"),
        ({"model": CLAUDE, "messages": [], "max_tokens": 5}, "messages: at least one"),
        ({"model": CLAUDE, "messages": HELLO, "max_tokens": 0}, "max_tokens: Input should be"),
    ],
)
def test_anthropic_names_the_broken_rule(claude: anthropic.Anthropic, body: dict[str, Any], rule: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=rule):
        claude.post("/v1/messages", body=body, cast_to=object)


def test_anthropic_needs_its_version_header(claude: anthropic.Anthropic) -> None:
    without: Any = {"anthropic-version": anthropic.omit}
    with pytest.raises(anthropic.BadRequestError, match="anthropic-version: header is required"):
        claude.models.list(extra_headers=without)


def test_model_server_answers_hello_as_the_cluster_did(local: openai.OpenAI) -> None:
    done = local.chat.completions.create(model=LOCAL, messages=HELLO, max_tokens=10)
    assert (done.choices[0].message.content, done.choices[0].finish_reason) == ("To be ", "stop")
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (1, 2, 3)
    assert done.id.startswith("chatcmpl-")


def test_model_server_streams_lists_and_refuses(local: openai.OpenAI) -> None:
    streamed = local.chat.completions.create(model=LOCAL, messages=HELLO, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == "To be "
    assert [model.id for model in local.models.list()] == [LOCAL]
    assert local.completions.create(model=LOCAL, prompt="Hello").choices[0].text == "To be "
    with pytest.raises(openai.NotFoundError, match="opt-none"):
        local.chat.completions.create(model="opt-none", messages=HELLO)
    with pytest.raises(openai.BadRequestError, match="messages"):
        local.post("/chat/completions", body={"model": LOCAL}, cast_to=object)


def test_what_arrives_is_recorded_with_the_name_asked_for_by_tls(openai_server: Simulator, gpt: openai.OpenAI) -> None:
    gpt.chat.completions.create(model=GPT, messages=HELLO, extra_headers={"X-Mark": "seen-1"})
    last = openai_server.received[-1]
    assert (last.method, last.path, last.sni) == ("POST", "/v1/chat/completions", "api.openai.com")
    assert last.header("x-mark") == "seen-1"
    assert json.loads(last.body)["model"] == GPT
    assert "seen-1" in last.text()


def test_a_certificate_for_another_name_is_not_accepted(openai_server: Simulator, trust: ssl.SSLContext) -> None:
    connection = http.client.HTTPSConnection("127.0.0.1", openai_server.port, context=trust, timeout=5)
    with pytest.raises(ssl.SSLCertVerificationError):
        connection.request("GET", "/v1/models")


def test_a_chunked_body_is_read_and_an_oversized_one_refused(local_server: Simulator) -> None:
    body = json.dumps({"model": LOCAL, "messages": HELLO}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", local_server.port, timeout=5)
    connection.request("POST", "/v1/chat/completions", body=iter([body[:10], body[10:]]), encode_chunked=True)
    assert connection.getresponse().read().count(b"To be ") == 1
    assert local_server.received[-1].body == body
    connection.close()
    connection.putrequest("POST", "/v1/chat/completions")
    connection.putheader("Content-Length", str(10**9))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
