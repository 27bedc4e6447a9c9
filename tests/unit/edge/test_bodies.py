"""Bodies in memory: each bounded, and all of them together."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from maas_api.edge.bodies import SMALL_BYTES, Bodies, Body, Crowded, Left

LIMIT = 1024 * 1024


def body(bodies: Bodies, *parts: bytes, headers: tuple[tuple[bytes, bytes], ...] = (), whole: bool = True) -> Body:
    waiting = list(parts)

    async def receive() -> MutableMapping[str, Any]:
        if not waiting:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": waiting.pop(0), "more_body": bool(waiting) or not whole}

    return bodies.of(receive, headers, LIMIT)


def test_a_body_is_read_whole_in_however_many_parts() -> None:
    with body(Bodies(), b"one", b"two", b"three") as read:
        assert asyncio.run(read.read()) == b"onetwothree"
        assert not read.unread


def test_an_announced_length_above_the_limit_is_enough_to_know() -> None:
    with body(Bodies(), headers=((b"content-length", b"1048577"),)) as read:
        assert asyncio.run(read.read()) == b""
        assert read.unread


@pytest.mark.parametrize("parts", [(bytes(LIMIT + 1),), (bytes(LIMIT), b"1")], ids=["at once", "in parts"])
def test_a_length_nobody_announced_counts_as_well(parts: tuple[bytes, ...]) -> None:
    with body(Bodies(), *parts) as read:
        assert asyncio.run(read.read()) == b""
        assert read.unread


def test_a_client_that_leaves_is_not_answered() -> None:
    with body(Bodies(), b"half", whole=False) as read, pytest.raises(Left):
        asyncio.run(read.read())


def test_large_bodies_share_what_they_may_hold_and_give_it_back() -> None:
    bodies = Bodies(together=LIMIT)
    part = bytes(SMALL_BYTES)
    with body(bodies, *[part] * 12) as first:
        asyncio.run(first.read())
        assert bodies.held == 11 * SMALL_BYTES
        with body(bodies, *[part] * 12) as second, pytest.raises(Crowded):
            asyncio.run(second.read())
        assert second.unread
        assert bodies.held == 11 * SMALL_BYTES
        with body(bodies, b"small", b"one") as third:
            assert asyncio.run(third.read()) == b"smallone"
    assert bodies.held == 0
