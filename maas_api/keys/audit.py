"""Audit records: who changed which keys, in one stable shape, on a logger of their own.

Every record has ``audit`` (the action), ``actor``, ``tenant`` and ``keys`` (how many changed); where it applies also
``key_id``, ``owner``, ``scope``, ``subscription`` and ``ephemeral``. User names are passed through ``redact`` first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

_log = logging.getLogger("maas_api.audit")


class Audit(Protocol):
    """Takes one record for each change of keys."""

    def __call__(self, action: str, *, actor: str, keys: int, **details: str | bool) -> None:
        """``actor`` and the detail ``owner`` are raw user names."""


class AuditLog:
    """Audit records as log lines ``AUDIT <action>``."""

    def __init__(self, tenant: str, redact: Callable[[str], str]) -> None:
        self._tenant = tenant
        self._redact = redact

    def __call__(self, action: str, *, actor: str, keys: int, **details: str | bool) -> None:
        """Log the record."""
        owner = details.pop("owner", None)
        if isinstance(owner, str):
            details["owner"] = self._redact(owner)
        fields = {"audit": action, "actor": self._redact(actor), "tenant": self._tenant, "keys": keys, **details}
        _log.info("AUDIT %s", action, extra=fields)
