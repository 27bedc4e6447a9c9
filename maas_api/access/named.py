"""What a call's body names, as the gateway's filter read it: the model, further models, tools. Pure.

The gateway reads every body that runs a model (gateway/envoy/model_name.lua) and tells the authorizer in headers that
no client can set. Where parsers could find another model than the filter did, it tells a doubt instead of a name, and
nothing is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import unquote

from maas_api import errors
from maas_api.errors import ApiError

MODEL_HEADER = "X-Gateway-Model-Name"
"""The body's ``model``; the platform's own gateways use the same header."""
BODY_HEADER = "X-MaaS-Body"
"""``nested=<names>;tools=<types>``, each a list with commas, percent-encoded, where there are any: models named below
the top level or as alternatives, and the kinds of tools the body brings. Or ``doubt=<why>``: one of :data:`DOUBTS`."""
HEADERS = (MODEL_HEADER, BODY_HEADER)
_MODEL, _BODY = (name.lower().encode() for name in HEADERS)

DOUBTS: dict[str, tuple[int, str]] = {
    "no-body": (400, "the request has no body: send a JSON object that names one model in 'model'"),
    "content-type": (415, "the body must be sent as Content-Type: application/json, in UTF-8"),
    "not-json": (400, "the body must be one plain JSON object in UTF-8, without a byte order mark"),
    "too-complex": (400, "the body has more nesting, or more separate values, than the gateway reads"),
    "no-model": (400, "the body must name one model in 'model', as text"),
    "model-name": (400, "'model' must be 1 to 256 characters without control characters"),
    "spelling": (400, "'model' must be written in lower case: other spellings are the same name to some servers"),
    "twice": (400, "'model' must stand in the body once: servers differ on which of two counts"),
    "further-models": (400, "the body names more further models or kinds of tools than 32, or one that is no name"),
}
"""Status and sentence of each doubt."""

UNSEARCHABLE: dict[str, tuple[int, str]] = {
    "packed": (415, "it must not be compressed (Content-Encoding)"),
    "complex": (400, "it has more escaped characters than the gateway looks at"),
    "wide": (400, "it must be UTF-8, as JSON is (RFC 8259), and without NUL"),
}
"""The same where a body cannot be looked through for API keys."""

HARMLESS_TOOLS = frozenset(
    {
        "",  # Anthropic's own shape of a client tool has no type
        "custom",
        "function",
        "apply_patch",
        "bash",
        "code_execution",
        "code_interpreter",
        "computer",
        "computer_use_preview",
        "file_search",
        "local_shell",
        "mcp",
        "mcp_toolset",
        "memory",
        "shell",
        "text_editor",
        "tool_search_tool_bm25",
        "tool_search_tool_regex",
        "web_fetch",
        "web_search",
        "web_search_preview",
    }
)
"""Tools that run no model but the one that calls them; a version (``_20250305``) may follow. Any other may."""


class Named(NamedTuple):
    """What the filter read. ``model`` is "" where ``doubt`` says why, or where no filter looked."""

    model: str = ""
    nested: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    doubt: str = ""

    @property
    def running_tools(self) -> tuple[str, ...]:
        """The tools that may run a model which nothing names."""
        return tuple(tool for tool in self.tools if _plain(tool) not in HARMLESS_TOOLS)


def read(headers: Mapping[bytes, bytes]) -> Named:
    """What a question's headers tell, by their lower-case names."""
    try:
        model = headers.get(_MODEL, b"").decode()
    except UnicodeError:
        return Named(doubt="model-name")
    return told(model, headers.get(_BODY, b"").decode("latin-1"))


def told(model: str, about: str) -> Named:
    """What the values of the two headers say."""
    if not about:
        return Named(model)
    parts = {key: value for key, _, value in (part.partition("=") for part in about.split(";"))}
    nested, tools = (
        tuple(unquote(item) for item in parts[key].split(",")) if key in parts else () for key in ("nested", "tools")
    )
    return Named(model, nested, tools, parts.get("doubt", ""))


def required(named: Named) -> Named:
    """``named`` where it names a model. Raises ApiError with the doubt, 400 or 415."""
    if named.model and not named.doubt:
        return named
    status, message = DOUBTS.get(named.doubt or "no-model", DOUBTS["not-json"])
    raise refusal(status, message, named.doubt or "no-model")


def refusal(status: int, message: str, doubt: str) -> ApiError:
    """A body that cannot be judged, in the shape the SDKs parse."""
    code = "unsupported_media_type" if status == 415 else "invalid_body"
    return errors.sdk(
        status,
        f"The gateway cannot tell which model this would run ({doubt}): {message}",
        kind="invalid_request_error",
        code=code,
        param="model",
    )


def key_in_request(where: str) -> ApiError:
    """A key must not go on to a model's server, nor into the logs on the way."""
    message = f"An API key stands in the request's {where}: send it as Authorization: Bearer or x-api-key, only there"
    return errors.sdk(400, message, code="key_in_request")


def unsearchable(why: str) -> ApiError:
    """A body that could carry an API key on unseen."""
    status, rule = UNSEARCHABLE[why]
    message = f"The gateway cannot look through the request's body for API keys: {rule}"
    return errors.sdk(
        status,
        message,
        kind="invalid_request_error",
        code="unsupported_media_type" if status == 415 else "invalid_body",
    )


def _plain(tool: str) -> str:
    """A tool's type without its version: ``web_search_20250305`` is ``web_search``."""
    name, _, version = tool.rpartition("_")
    return name if len(version) == 8 and version.isdigit() else tool
