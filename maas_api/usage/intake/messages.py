"""What a worker and the process that takes batches in for it say to each other."""

from __future__ import annotations

from typing import Final, NamedTuple

from maas_api.usage.intake.batch import Taken


class Order(NamedTuple):
    """What the process is for: the store, whose usage it is, and what of budgets is spent where nobody reports."""

    url: str
    tenant: str
    keep: bool


class Batch(NamedTuple):
    """One batch as it was posted. Answers name its number."""

    number: int
    body: bytes
    encoding: str


class Malformed(NamedTuple):
    """The batch is not what it should be."""

    rule: str


class Failed(NamedTuple):
    """The batch could not be stored."""

    fault: str


Outcome = Taken | Malformed | Failed

READY: Final = (-1, Failed(""))
"""Said once, before any answer: batches are read from now on."""
