"""When an answer may be believed: with the channel, without it, across its return, and without the store."""

from __future__ import annotations

import pytest

from maas_api.validation.trust import NEVER, Channel, Trust

TRUST = Trust(unheard=5, max_age=60, grace=30)


@pytest.mark.parametrize(
    ("channel", "checked_at", "now", "fresh"),
    [
        (Channel(since=0, heard=100), 50, 100, True),  # heard until now
        (Channel(since=0, heard=100), 50, 105, True),  # down for 5 s
        (Channel(since=0, heard=100), 50, 105.1, False),  # down for longer
        (Channel(since=0, heard=100), 103, 108, True),  # looked up while it was down
        (Channel(since=99, heard=100), 98, 100, False),  # looked up 2 s ago, before the channel came back
        (Channel(since=99, heard=100), 50, 100, False),  # what was announced in the gap was never heard
        (Channel(since=0, heard=100), 39, 100, False),  # older than anything may get
        (NEVER, 100, 105, True),
        (NEVER, 100, 105.1, False),
    ],
)
def test_fresh(channel: Channel, checked_at: float, now: float, fresh: bool) -> None:
    assert TRUST.fresh(channel, checked_at, now) is fresh


@pytest.mark.parametrize(
    ("channel", "checked_at", "now", "bearable"),
    [
        (Channel(since=0, heard=100), 50, 130, True),
        (Channel(since=0, heard=100), 50, 130.1, False),
        (Channel(since=99, heard=100), 50, 100, False),  # not known to have been right for too long already
        (NEVER, 100, 130, True),
    ],
)
def test_bearable_while_the_store_is_down(channel: Channel, checked_at: float, now: float, bearable: bool) -> None:
    assert TRUST.bearable(channel, checked_at, now) is bearable
