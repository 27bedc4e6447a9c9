"""The demo's HTTP client: plain calls, timed streams, and a transcript of everything that came back."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import urllib3

TIMEOUT = urllib3.Timeout(connect=5, read=30)
"""Seconds. Real providers may take a while to say something."""


class Answer(NamedTuple):
    """A finished answer. ``seconds`` is the time from sending to the last byte."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        """The decoded body. Raises ValueError where it is not JSON."""
        return json.loads(self.body)

    def brief(self) -> str:
        """Status and the beginning of the body, for a message."""
        return f"{self.status} {self.body[:200].decode('utf-8', 'replace').strip()}".strip()


class Streamed(NamedTuple):
    """A streamed answer: each piece as it came off the connection, with its time since the request, in seconds."""

    status: int
    pieces: Sequence[tuple[float, bytes]]

    @property
    def gaps(self) -> list[float]:
        """Seconds between one piece and the next."""
        times = [at for at, _ in self.pieces]
        return [later - earlier for earlier, later in itertools.pairwise(times)]


class Client:
    """Calls one base URL. Never retries and follows no redirect: what the gateway says is what is measured."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.transcript: list[str] = []
        """Status, headers and body of every answer, for searching."""
        self._pool = urllib3.PoolManager(retries=False, timeout=TIMEOUT, maxsize=16)

    def call(
        self,
        method: str,
        path: str,
        *,
        credential: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> Answer:
        """Send one request; ``credential`` goes as a bearer token, ``body`` as JSON.

        Raises urllib3.exceptions.HTTPError when no answer comes.
        """
        begun = time.monotonic()
        response = self._pool.request(
            method, self.base_url + path, headers=_lines(credential, headers, body), body=_encoded(body)
        )
        answer = Answer(response.status, dict(response.headers), response.data, time.monotonic() - begun)
        self._note(answer.status, answer.headers, answer.body)
        return answer

    def stream(self, path: str, *, credential: str, body: Any, headers: Mapping[str, str] | None = None) -> Streamed:
        """POST and note when each piece of the answer arrives. Raises as :meth:`call` does."""
        begun = time.monotonic()
        response = self._pool.request(
            "POST",
            self.base_url + path,
            headers=_lines(credential, headers, body),
            body=_encoded(body),
            preload_content=False,
        )
        with response:
            pieces = [(time.monotonic() - begun, piece) for piece in response.stream(65536, decode_content=False)]
            response.drain_conn()
        self._note(response.status, dict(response.headers), b"".join(piece for _, piece in pieces))
        return Streamed(response.status, pieces)

    def close(self) -> None:
        """Close the kept connections."""
        self._pool.clear()

    def _note(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        lines = "\n".join(f"{name}: {value}" for name, value in headers.items())
        self.transcript.append(f"{status}\n{lines}\n\n{body.decode('utf-8', 'replace')}")


def _lines(credential: str | None, headers: Mapping[str, str] | None, body: Any) -> dict[str, str]:
    lines = {"User-Agent": "maas-api-demo"}
    if body is not None:
        lines["Content-Type"] = "application/json"
    if credential is not None:
        lines["Authorization"] = f"Bearer {credential}"
    return lines | dict(headers or {})


def _encoded(body: Any) -> bytes | None:
    return None if body is None else json.dumps(body).encode()
