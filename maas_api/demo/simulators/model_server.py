"""A stand-in for an in-cluster model server (vLLM's surface): no credential of its own, the gateway guards it."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from maas_api.demo.simulators import chat
from maas_api.demo.simulators.server import Answer, Events, Received, Whole
from maas_api.demo.simulators.words import content_tokens, json_object, say, tokens

SENTENCE = "To be "
CREATED = 1773471237


def model_server(model: str) -> Answer:
    """Answers like a vLLM server that serves ``model``."""

    def complete(request: Received, needs: str) -> Whole | Events:
        body = json_object(request)
        if body is None:
            return chat.fault(400, "The body is not a JSON object.", "BadRequestError", code=400)
        broken = chat.broken_rule(body, needs=needs)
        if broken is not None:
            return chat.fault(400, broken[1], "BadRequestError", param=broken[0], code=400)
        if body["model"] != model:
            message = f"The model `{body['model']}` does not exist."
            return chat.fault(404, message, "NotFoundError", param="model", code=404)
        chatting = needs == "messages"
        turn = chat.Turn(
            model=model,
            said=say(SENTENCE, chat.limit_of(body)),
            prompt_tokens=(
                sum(map(content_tokens, body["messages"])) if chatting else len(tokens(str(body["prompt"])))
            ),
            extra={"kv_transfer_params": None},
            message_extra={},
            usage_extra={},
        )
        return chat.answer_chat(turn, body) if chatting else chat.answer_legacy(turn, body)

    def answer(request: Received) -> Whole | Events:
        match request.method, unquote(urlsplit(request.path).path):
            case "POST", "/v1/chat/completions":
                return complete(request, "messages")
            case "POST", "/v1/completions":
                return complete(request, "prompt")
            case "GET", "/v1/models":
                return chat.model_list({model: CREATED}, "vllm")
            case "GET", "/health":
                return Whole(200, {})
        return chat.fault(404, "Not Found", "NotFoundError", code=404)

    return answer
