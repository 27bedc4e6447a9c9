"""A stand-in for api.openai.com: one key, one sentence, OpenAI's shapes and errors."""

from __future__ import annotations

import hmac
from urllib.parse import unquote, urlsplit

from maas_api.demo.simulators import chat
from maas_api.demo.simulators.server import Answer, Events, Received, Whole
from maas_api.demo.simulators.words import content_tokens, json_object, say, tokens

SENTENCE = "Hello! How can I assist you today?"
FINGERPRINT = "fp_simulated"

MODELS = {"gpt-4o": 1715367049, "gpt-4o-mini": 1721172741, "gpt-4o-mini-2024-07-18": 1721172717}
"""Models it serves, with their creation times."""

SNAPSHOTS = {"gpt-4o-mini": "gpt-4o-mini-2024-07-18", "gpt-4o": "gpt-4o-2024-08-06"}
"""An alias is answered under the name of the snapshot it stands for, as the real service does."""

# https://developers.openai.com/cookbook: three tokens frame each message, its role is one, three prime the reply.
PER_MESSAGE, PRIMING = 4, 3

INVALID = "invalid_request_error"


def openai_api(key: str) -> Answer:
    """Answers like api.openai.com to whoever presents exactly ``key``."""
    routes: dict[tuple[str, str], Answer] = {
        ("POST", "/v1/chat/completions"): lambda request: _complete(request, "messages"),
        ("POST", "/v1/completions"): lambda request: _complete(request, "prompt"),
        ("GET", "/v1/models"): lambda _: chat.model_list(MODELS, "system"),
    }

    def answer(request: Received) -> Whole | Events:
        refusal = _refuse(request, key)
        if refusal is not None:
            return refusal
        path = unquote(urlsplit(request.path).path)
        route = routes.get((request.method, path))
        if route is not None:
            return route(request)
        if request.method == "GET" and path.startswith("/v1/models/"):
            return _model(path.removeprefix("/v1/models/"))
        if any(known == path for _, known in routes):
            return chat.fault(405, f"Not allowed to {request.method} on {path}.", INVALID, code="method_not_supported")
        return chat.fault(404, f"Invalid URL ({request.method} {path})", INVALID)

    return answer


def _refuse(request: Received, key: str) -> Whole | None:
    credential = request.header("authorization")
    if credential is None:
        return chat.fault(401, "You didn't provide an API key.", INVALID)
    if not hmac.compare_digest(credential.encode(), f"Bearer {key}".encode()):
        return chat.fault(401, "Incorrect API key provided.", INVALID, code="invalid_api_key")
    return None


def _model(name: str) -> Whole:
    if name not in MODELS:
        return _no_model(name)
    return Whole(200, chat.model_entry(name, MODELS[name], "system"))


def _no_model(name: str) -> Whole:
    message = f"The model `{name}` does not exist or you do not have access to it."
    return chat.fault(404, message, INVALID, param="model", code="model_not_found")


def _complete(request: Received, needs: str) -> Whole | Events:
    body = json_object(request)
    if body is None:
        return chat.fault(400, "We could not parse the JSON body of your request.", INVALID)
    broken = chat.broken_rule(body, needs=needs)
    if broken is not None:
        return chat.fault(400, broken[1], INVALID, param=broken[0])
    if body["model"] not in MODELS:
        return _no_model(body["model"])
    if needs == "messages":
        prompt = PRIMING + sum(PER_MESSAGE + content_tokens(message) for message in body["messages"])
    else:
        prompt = len(tokens(str(body["prompt"])))
    turn = chat.Turn(
        model=SNAPSHOTS.get(body["model"], body["model"]),
        said=say(SENTENCE, chat.limit_of(body)),
        prompt_tokens=prompt,
        extra={"service_tier": "default", "system_fingerprint": FINGERPRINT},
        message_extra={"refusal": None},
        usage_extra={
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
    )
    return chat.answer_chat(turn, body) if needs == "messages" else chat.answer_legacy(turn, body)
