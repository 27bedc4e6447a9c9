"""A stand-in for api.openai.com: one key, one sentence, OpenAI's shapes and errors."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from maas_api.demo.simulators.openai import completions, embeddings, images, moderations, responses, speech
from maas_api.demo.simulators.openai.chat import Flavour, Turn
from maas_api.demo.simulators.openai.chat import respond as respond_chat
from maas_api.demo.simulators.openai.chat_request import read_chat
from maas_api.demo.simulators.openai.faults import choices, fault
from maas_api.demo.simulators.openai.model_list import model_entry, model_list
from maas_api.demo.simulators.openai.response_request import items_of, read_response
from maas_api.demo.simulators.pictures import OPENAI_TOKENS
from maas_api.demo.simulators.reply import Ask, RefusedError, Reply, answer
from maas_api.demo.simulators.server import Answer, Reaction, Received, Whole
from maas_api.demo.simulators.words import content_tokens, count, json_object

SENTENCE = "Hello! How can I assist you today?"

MODELS = {
    "gpt-4o": 1715367049,
    "gpt-4o-mini": 1721172741,
    "gpt-4o-mini-2024-07-18": 1721172717,
    "gpt-5.4-mini": 1773705600,
    "text-embedding-3-small": 1705948997,
    "omni-moderation-latest": 1731689265,
    "gpt-image-1": 1745517030,
    "gpt-4o-mini-tts": 1742403959,
}
"""Models it serves, with their creation times. Each answers at every endpoint: what fits is not what is simulated."""

SNAPSHOTS = {"gpt-4o-mini": "gpt-4o-mini-2024-07-18", "gpt-4o": "gpt-4o-2024-08-06"}
"""An alias is answered under the name of the snapshot it stands for, as the real service does."""

THOUGHT = {"none": 0, "minimal": 16, "low": 64, "medium": 128, "high": 256, "xhigh": 512}
"""Effort -> tokens that a model which reasons thinks before it speaks."""

REASONING = {"gpt-5.4-mini"}

# https://developers.openai.com/cookbook: three tokens frame each message, its role is one, three prime the reply.
PER_MESSAGE, PRIMING = 4, 3

# https://developers.openai.com/api/docs/guides/prompt-caching: from 1,024 tokens on, in steps of 128. The simulator
# remembers nothing; it counts as if every long prompt had been sent just before.
SHORTEST_CACHED, CACHE_STEP = 1024, 128

INVALID = "invalid_request_error"
FLAVOUR = Flavour({"service_tier": "default", "system_fingerprint": "fp_simulated"}, {"refusal": None}, details=True)

Endpoint = Callable[[Mapping[str, Any]], Reaction]


def openai_api(key: str) -> Answer:
    """Answers like api.openai.com to whoever presents exactly ``key``."""
    posts: dict[str, Endpoint] = {
        "/v1/chat/completions": _chat,
        "/v1/completions": _complete,
        "/v1/responses": _respond,
        "/v1/embeddings": lambda body: embeddings.respond(body, body["model"]),
        "/v1/moderations": lambda body: moderations.respond(body, body["model"]),
        "/v1/images/generations": images.respond,
        "/v1/audio/speech": speech.respond,
    }

    def respond(request: Received) -> Reaction:
        refusal = _refuse(request, key)
        if refusal is not None:
            return refusal
        path = unquote(urlsplit(request.path).path)
        if request.method == "POST" and path in posts:
            return _post(request, posts[path])
        if request.method == "GET" and path == "/v1/models":
            return model_list(MODELS, "system")
        if request.method == "GET" and path.startswith("/v1/models/"):
            return _model(path.removeprefix("/v1/models/"))
        if path in posts or path == "/v1/models":
            return fault(405, f"Not allowed to {request.method} on {path}.", INVALID, code="method_not_supported")
        return fault(404, f"Invalid URL ({request.method} {path})", INVALID)

    return respond


def _refuse(request: Received, key: str) -> Whole | None:
    credential = request.header("authorization")
    if credential is None:
        return fault(401, "You didn't provide an API key.", INVALID)
    if not hmac.compare_digest(credential.encode(), f"Bearer {key}".encode()):
        return fault(401, "Incorrect API key provided.", INVALID, code="invalid_api_key")
    return None


def _model(name: str) -> Whole:
    if name not in MODELS:
        return _no_model(name)
    return Whole(200, model_entry(name, MODELS[name], "system"))


def _no_model(name: str) -> Whole:
    message = f"The model `{name}` does not exist or you do not have access to it."
    return fault(404, message, INVALID, param="model", code="model_not_found")


def _post(request: Received, endpoint: Endpoint) -> Reaction:
    body = json_object(request)
    if body is None:
        return fault(400, "We could not parse the JSON body of your request.", INVALID)
    name = body.get("model")
    try:
        if isinstance(name, str) and name not in MODELS:
            endpoint({**body, "model": "gpt-4o", "stream": False})  # a broken rule is named before an unknown model
            return _no_model(name)
        return endpoint(body)
    except RefusedError as refused:
        return fault(refused.status, refused.message, INVALID, param=refused.param, code=refused.code)


def _reply(body: Mapping[str, Any], ask: Ask, effort: object) -> Reply:
    thought = THOUGHT.get(str(effort or "medium"), 0) if body["model"] in REASONING else 0
    return answer(ask._replace(thought=thought), SENTENCE)


def _chat(body: Mapping[str, Any]) -> Reaction:
    said = _reply(body, read_chat(body), body.get("reasoning_effort"))
    prompt = PRIMING + sum(PER_MESSAGE + content_tokens(message, OPENAI_TOKENS) for message in body["messages"])
    return respond_chat(_turn(body, said, prompt), body)


def _complete(body: Mapping[str, Any]) -> Reaction:
    said = _reply(body, completions.read_completion(body), "none")
    return completions.respond(_turn(body, said, count(str(body["prompt"]))), body)


def _turn(body: Mapping[str, Any], said: Reply, prompt: int) -> Turn:
    total = prompt + _tool_tokens(body)
    return Turn(_answering(body), said, total, _cached(total), choices(body), FLAVOUR)


def _respond(body: Mapping[str, Any]) -> Reaction:
    said = _reply(body, read_response(body), (body.get("reasoning") or {}).get("effort"))
    words = sum(PER_MESSAGE + content_tokens(item, OPENAI_TOKENS) for item in items_of(body))
    total = PRIMING + words + _tool_tokens(body) + count(str(body.get("instructions") or ""))
    return responses.respond(responses.Answered(_answering(body), said, total, _cached(total)), body)


def _answering(body: Mapping[str, Any]) -> str:
    name: str = body["model"]
    return SNAPSHOTS.get(name, name)


def _tool_tokens(body: Mapping[str, Any]) -> int:
    return count(json.dumps(body["tools"])) if body.get("tools") else 0


def _cached(total: int) -> int:
    return total // CACHE_STEP * CACHE_STEP if total >= SHORTEST_CACHED else 0
