"""Who may read the audit: admins. Every method raises ApiError with the answer for the caller."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from maas_api.audit import query as queries
from maas_api.audit.reading import Reading
from maas_api.audit.record import Entry
from maas_api.errors import plain
from maas_api.identity.admin import AdminCheck, AdminCheckError
from maas_api.identity.headers import Identity
from maas_api.observability import metrics
from maas_api.parameters import QueryError

_log = logging.getLogger(__name__)

Parameters = Mapping[str, Sequence[str]]


class AuditService:
    """Records of the whole tenant, for admins."""

    def __init__(self, reading: Reading, admins: AdminCheck) -> None:
        self._reading = reading
        self._admins = admins

    def find(self, who: Identity, parameters: Parameters) -> tuple[list[Entry], bool]:
        """A page of records, newest first, and whether there is more."""
        try:
            admin = self._admins.is_admin(who)
        except AdminCheckError as fault:
            raise plain(500, "Failed to check authorization") from fault
        if not admin:
            raise plain(403, "Access denied: admin privileges required to read the audit")
        return self.everything(parameters)

    def everything(self, parameters: Parameters) -> tuple[list[Entry], bool]:
        """The same for whoever may ask that without being asked who they are."""
        try:
            asked = queries.parse(parameters)
        except QueryError as fault:
            raise plain(400, str(fault)) from None
        try:
            return self._reading.find(asked)
        except sa.exc.SQLAlchemyError as fault:
            metrics.store_errors.labels("audit").inc()
            _log.error("Failed to read the audit", exc_info=fault)
            raise plain(500, "Failed to read the audit") from fault
