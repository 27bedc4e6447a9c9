"""A key as the store holds it, without its secret."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from maas_api.keys.budget import Budgets


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """One row of ``api_keys`` with its allow-list (None allows every model). ``status`` is the stored one."""

    id: str
    username: str
    name: str
    description: str
    groups: tuple[str, ...]
    subscription: str
    tenant: str
    status: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    ephemeral: bool
    labels: dict[str, str]
    models: tuple[str, ...] | None
    budgets: Budgets = ()
    parent: str = ""
    """The id of the key it was minted with; empty for one that a user minted."""
    imported: bool = False
    """Whether it is another gateway's: nothing but its end may change."""
    lost_limits: tuple[str, ...] = ()
    """What it was limited by and whose row is gone. Such a key opens nothing."""

    def status_at(self, now: datetime) -> str:
        """``active``, ``revoked`` or ``expired``, whether or not the expiry has been stored yet."""
        if self.status == "active" and self.expires_at is not None and self.expires_at < now:
            return "expired"
        return self.status
