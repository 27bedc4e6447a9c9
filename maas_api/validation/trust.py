"""How long an answer from the store may be believed. Pure; times are ``time.monotonic`` seconds.

Three facts decide. ``checked_at``: when the lookup that gave the answer began. ``since``: from when on the
notification channel has been heard without a gap. ``heard``: up to when everything it carried has arrived. An answer
looked up after ``since`` and not invalidated is right as of ``heard``; any other is right as of ``checked_at`` only.
So one rule covers a channel that works, one that is down, one that is half open, and one that came back.
"""

from __future__ import annotations

from typing import Final, NamedTuple

DENIED_SECONDS: Final = 5.0
"""A refusal is remembered this long. No notification is needed: time can only make it wrong on the safe side."""


class Channel(NamedTuple):
    """What the notification channel has proved. Replaced as a whole, so readers need no lock."""

    since: float
    heard: float

    def right_as_of(self, checked_at: float) -> float:
        """The latest moment at which an answer looked up at ``checked_at`` is known to have been right."""
        return self.heard if self.heard > checked_at >= self.since else checked_at


NEVER = Channel(float("-inf"), float("-inf"))
"""A channel that was never heard."""


class Trust(NamedTuple):
    """The bounds, in seconds: without the channel, with it, and without the store.

    ``max_age`` bounds what nobody announces: changes by others on the database where no trigger could be made.
    """

    unheard: float
    max_age: float
    grace: float

    def fresh(self, channel: Channel, checked_at: float, now: float) -> bool:
        """Whether an answer may be given without asking the store.

        One from before the channel's return may not, however young: what was announced in the gap is lost.
        """
        since, heard = channel
        if checked_at < since or now - checked_at > self.max_age:
            return False
        return now - heard <= self.unheard or now - checked_at <= self.unheard

    def bearable(self, channel: Channel, checked_at: float, now: float) -> bool:
        """Whether an answer may be given because the store cannot be asked."""
        return now - channel.right_as_of(checked_at) <= self.grace
