"""The error shapes of the wire contract, in one place.

The service answers errors in three shapes, kept for the clients that parse them today:

* ``A`` ``{"error": "text", "code"?: "..."}``: API keys, internal endpoints, unknown paths.
* ``B`` ``{"error": {"message", "type", "param", "code"}}``: whatever an OpenAI SDK may call (models, subscriptions).
* ``C`` ``{"error": "...", "exceptionCode": "AUTH_FAILURE", "refId": "00N"}``: identity headers.

Messages are for the caller: they name the field, the rule and what was received, never a secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from maas_api.wire import JSON, Reply


class ApiError(Exception):
    """An answer that is an error. Raised anywhere on a request path, encoded once at the edge."""

    def __init__(self, status: int, body: Mapping[str, Any], headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = dict(body)
        self.headers = headers

    def reply(self) -> Reply:
        """The encoded answer."""
        lines = tuple((name.lower().encode(), value.encode()) for name, value in self.headers)
        return Reply(self.status, (JSON, *lines), encode(self.body))


def plain(status: int, message: str, *, code: str | None = None, headers: tuple[tuple[str, str], ...] = ()) -> ApiError:
    """Shape A, the API-key and internal endpoints."""
    return ApiError(status, {"error": message} if code is None else {"error": message, "code": code}, headers)


_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def sdk(
    status: int,
    message: str,
    *,
    kind: str | None = None,
    code: str | None = None,
    param: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> ApiError:
    """Shape B. ``kind`` defaults to the type that OpenAI's and Anthropic's SDKs associate with the status.

    The outer ``type: error`` is what Anthropic's SDK expects; OpenAI's ignores it.
    """
    error = {
        "message": message,
        "type": kind or _TYPES.get(status, "server_error"),
        "param": param,
        "code": code,
    }
    return ApiError(status, {"type": "error", "error": error}, headers)


def identity(ref: str, detail: str) -> ApiError:
    """Shape C as 401: the caller's identity headers are missing (``001``, ``002``) or malformed (``003``).

    The Go service says 500 and "Exception thrown while generating token" here; a caller without an identity is not a
    fault of the server, and clients tell it by the other two fields. ``detail`` names the header and the rule.
    """
    return ApiError(
        HTTPStatus.UNAUTHORIZED,
        {
            "error": f"Nobody is signed in: {detail}. Call through the gateway, which says who calls for a key or "
            "token that it knows",
            "exceptionCode": "AUTH_FAILURE",
            "refId": ref,
            "detail": detail,
        },
    )


def encode(body: Any) -> bytes:
    """Compact JSON in UTF-8."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")
