"""A stand-in for an in-cluster model server (vLLM's surface): no credential of its own, the gateway guards it.

vLLM answers in both dialects at once: chat completions, responses and embeddings, and Anthropic's messages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from maas_api.demo.simulators.anthropic import messages
from maas_api.demo.simulators.anthropic.cache import Counted
from maas_api.demo.simulators.anthropic.request import read_message
from maas_api.demo.simulators.openai import chat, completions, embeddings, responses
from maas_api.demo.simulators.openai.chat_request import read_chat
from maas_api.demo.simulators.openai.faults import choices, fault
from maas_api.demo.simulators.openai.model_list import model_list
from maas_api.demo.simulators.openai.response_request import items_of, read_response
from maas_api.demo.simulators.pictures import OPENAI_TOKENS
from maas_api.demo.simulators.reply import RefusedError, Reply, answer
from maas_api.demo.simulators.server import Answer, Reaction, Received, Whole
from maas_api.demo.simulators.words import content_tokens, count, json_object

SENTENCE = "To be "
CREATED = 1773471237
CONTEXT = 2048
"""Tokens of the model's context window, published as ``max_model_len``."""

DIMENSIONS = 768
FLAVOUR = chat.Flavour({"kv_transfer_params": None}, {}, details=False)

Endpoint = Callable[[Mapping[str, Any]], Reaction]
_NAMES = {400: "BadRequestError", 404: "NotFoundError"}


def model_server(model: str) -> Answer:
    """Answers like a vLLM server that serves ``model``."""
    posts: dict[str, Endpoint] = {
        "/v1/chat/completions": _chat,
        "/v1/completions": _complete,
        "/v1/responses": _respond,
        "/v1/embeddings": lambda body: embeddings.respond(body, body["model"], DIMENSIONS),
        "/v1/messages": _message,
        "/v1/messages/count_tokens": _count,
    }

    def respond(request: Received) -> Reaction:
        path = unquote(urlsplit(request.path).path)
        match request.method, path:
            case "POST", _ if path in posts:
                return _post(request, posts[path], model, _message_fault if "/messages" in path else _fault)
            case "GET", "/v1/models":
                return model_list({model: CREATED}, "vllm", root=model, parent=None, max_model_len=CONTEXT)
            case "GET", "/health":
                return Whole(200, {})
        return _fault(404, "Not Found", None)

    return respond


def _fault(status: int, message: str, param: str | None) -> Whole:
    return fault(status, message, _NAMES[status], param=param, code=status)


def _message_fault(status: int, message: str, _param: str | None) -> Whole:
    """The same fault as an Anthropic SDK reads it."""
    kind = "not_found_error" if status == 404 else "invalid_request_error"
    return Whole(status, {"type": "error", "error": {"type": kind, "message": message}})


def _post(request: Received, endpoint: Endpoint, model: str, say: Callable[[int, str, str | None], Whole]) -> Reaction:
    body = json_object(request)
    if body is None:
        return say(400, "The body is not a JSON object.", None)
    try:
        name = body.get("model", model)
        if isinstance(name, str) and name != model:
            endpoint({**body, "model": model, "stream": False})  # a broken rule is named before an unknown model
            return say(404, f"The model `{name}` does not exist.", "model")
        return endpoint(body)
    except RefusedError as refused:
        return say(refused.status, refused.message, refused.param)


def _chat(body: Mapping[str, Any]) -> Reaction:
    said = answer(read_chat(body), SENTENCE)
    return chat.respond(_turn(body, said, content_tokens(body["messages"], OPENAI_TOKENS)), body)


def _complete(body: Mapping[str, Any]) -> Reaction:
    said = answer(completions.read_completion(body), SENTENCE)
    return completions.respond(_turn(body, said, count(str(body["prompt"]))), body)


def _turn(body: Mapping[str, Any], said: Reply, prompt: int) -> chat.Turn:
    return chat.Turn(body["model"], said, prompt, 0, choices(body), FLAVOUR)


def _respond(body: Mapping[str, Any]) -> Reaction:
    said = answer(read_response(body), SENTENCE)
    words = content_tokens(items_of(body), OPENAI_TOKENS) + count(str(body.get("instructions") or ""))
    return responses.respond(responses.Answered(body["model"], said, words, 0), body)


def _message(body: Mapping[str, Any]) -> Reaction:
    said = answer(read_message(body, "max_tokens")._replace(thought=0), SENTENCE)
    return messages.respond(messages.Answered(body["model"], said, _input(body), {}), body)


def _count(body: Mapping[str, Any]) -> Whole:
    read_message(body)
    return Whole(200, {"input_tokens": _input(body).total})


def _input(body: Mapping[str, Any]) -> Counted:
    """Input tokens: vLLM has no cache that it bills by."""
    words = content_tokens(body["messages"], OPENAI_TOKENS) + content_tokens(body.get("system"), OPENAI_TOKENS)
    return Counted(words, 0, 0)
