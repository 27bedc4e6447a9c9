"""What runs beside requests: started after the worker process exists, stopped before it ends."""

from __future__ import annotations

from typing import Protocol


class Background(Protocol):
    """A thread or a set of threads with an owner. Constructing one does nothing; ``start`` starts it."""

    def start(self) -> None:
        """Start; returns at once. Called once, after fork."""

    def stop(self) -> None:
        """Stop and wait, a few seconds at the most. Safe when never started, and when called twice."""
