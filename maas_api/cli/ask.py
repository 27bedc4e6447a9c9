"""One HTTP request to a running service, for the commands that are such a request."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


class UnansweredError(Exception):
    """The service did not answer as it should. The message is one sentence, without secrets."""


def trusting(ca_file: Path | None, *, insecure: bool) -> ssl.SSLContext:
    """How a server's certificate is verified: by the CAs in a file, by the system's, or (``insecure``) not at all."""
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file is not None else None)
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def ask(
    method: str, url: str, *, tls: ssl.SSLContext, headers: Mapping[str, str] | None = None, timeout: float = 10.0
) -> dict[str, Any]:
    """The JSON object of a 200 answer. Raises UnansweredError."""
    parts = urlsplit(url)
    try:
        connection = (
            http.client.HTTPSConnection(parts.hostname or "", parts.port, context=tls, timeout=timeout)
            if parts.scheme == "https"
            else http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout)
        )
        try:
            connection.request(method, parts.path or "/", headers=dict(headers or {}))
            reply = connection.getresponse()
            status, body = reply.status, reply.read()
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as fault:
        raise UnansweredError(f"{method} {url}: {fault or type(fault).__name__}") from None
    if status != http.client.OK:
        raise UnansweredError(f"{method} {url}: answered {status}{_reason(body)}")
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UnansweredError(f"{method} {url}: answered something that is not a JSON object")
    return value


def _reason(body: bytes) -> str:
    """What an error answer says, as far as it is one of ours."""
    try:
        said = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {said['message'] if isinstance(said, dict) else said}"
