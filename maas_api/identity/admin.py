"""Who is an admin: asked of the cluster (SubjectAccessReview), or of a static list on a machine without one."""

from __future__ import annotations

from typing import Protocol

from maas_api.identity.headers import Identity


class AdminCheckError(Exception):
    """The question could not be answered now. Never to be read as yes or no."""


class AdminCheck(Protocol):
    """Answers whether a platform user administers this installation."""

    def is_admin(self, who: Identity) -> bool:
        """Raises AdminCheckError when the answer cannot be had."""


class StaticAdmins:
    """Admins by name or group, from the settings."""

    def __init__(self, users: tuple[str, ...], groups: tuple[str, ...]) -> None:
        self._users = frozenset(users)
        self._groups = frozenset(groups)

    def is_admin(self, who: Identity) -> bool:
        """Whether the user is on the list, or in a group that is."""
        return who.username in self._users or not self._groups.isdisjoint(who.groups)
