"""One record of the audit: who did what to which keys, from where, and what came of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

ACTIONS: Final = (
    "mint",
    "rotate",
    "revoke",
    "budget",
    "bulk-revoke",
    "tenant-revoke",
    "sweep",
    "read",
    "search",
    "export",
    "import",
)
"""What is recorded. ``read`` and ``search``: an admin was shown other people's keys. ``export`` and ``import``: an
operator took keys out of the store as a file, or in."""

DONE: Final = "done"
REFUSED: Final = "refused"
FAILED: Final = "failed"
OUTCOMES: Final = (DONE, REFUSED)
"""What records say. What failed is not in the store, which did not take it; a log line says so."""

PLATFORM: Final = "platform"
"""Who acts where a component of the platform called an internal endpoint."""
ITSELF: Final = "maas-api"
"""Who acts where the service did what it could not do when it was asked."""


class Draft(NamedTuple):
    """What is to be recorded of a change, before it is made. ``owner``: whose keys, "" where that is not one user.

    ``always``: also where it changes no key.
    """

    action: str
    actor: str
    owner: str = ""
    details: Mapping[str, str] = {}
    always: bool = False


class Entry(NamedTuple):
    """A record. ``via``: the kind of credential it was done with, ``via_key`` the key's id where it was a key."""

    id: str
    at: datetime
    tenant: str
    action: str
    outcome: str
    actor: str
    via: str
    via_key: str
    owner: str
    keys: int
    key_ids: tuple[str, ...]
    request_id: str
    details: Mapping[str, str]
