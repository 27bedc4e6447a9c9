"""How much one connection, and all of one worker's, may take."""

from __future__ import annotations

from typing import NamedTuple

KEPT_BYTES = 4096
"""Longest body of a question that is answered on the doorstep; a key takes less than a hundred."""

LINGER_SECONDS = 2.0
"""After a refusal the client may still be sending: closing at once would reset the connection before it reads why."""

LINGER_BYTES = 256 * 1024
"""How much of it is read."""

PARTING_SECONDS = 0.5
"""How long a client may take over the end of TLS when the worker stops; one that is idle answers nothing."""

HEADERS_AT_MOST = 200
"""Header lines of one request: each costs time wherever headers are walked, however short. Envoy's own bound is 100."""

WAITING_AT_MOST = 8
"""Requests of one connection behind the one being answered. What a client sends beyond them is not read, and the
connection ends behind the last one's answer: a client that pipelines must be ready for that (RFC 9112, 9.3.2)."""

SEARCHED = 128
"""Connections among which those are searched for that give way: to look at ten thousand takes as long as a hundred
validations."""

GIVING_WAY = 16
"""A sixteenth of those at a time gives way when there are too many: a flood pays for each search once."""


class Limits(NamedTuple):
    """Seconds, bytes and connections of one worker."""

    header_bytes: int
    header_seconds: float
    request_seconds: float
    write_seconds: float
    idle_seconds: float
    connections: int
