"""The parts of the audit, put together for one worker process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint

from maas_api.audit import views
from maas_api.audit.journal import Journal, KeyOf
from maas_api.audit.origin import Origin
from maas_api.audit.reading import Reading
from maas_api.audit.service import AuditService
from maas_api.audit.stream import LineFile
from maas_api.config import Settings
from maas_api.identity.admin import AdminCheck, StaticAdmins
from maas_api.lifecycle import Background
from maas_api.observability.logs import user_hash
from maas_api.store.database import Database
from maas_api.store.keeper import Keeper


@dataclass(frozen=True)
class Assembled:
    """What the composition root needs of the room."""

    blueprints: Sequence[Blueprint]
    background: Sequence[Background]


def journal(settings: Settings, key_of: KeyOf, origin: Origin | None = None) -> Journal:
    """What records are written with."""

    def names(username: str) -> str:
        # An operator's own name stays readable: a line that hides who acted would be worth nothing.
        shown = settings.audit_names or (origin is not None and username == origin.actor)
        return username if shown else user_hash(username)

    stream = None if settings.audit_file is None else LineFile(settings.audit_file)
    return Journal(settings.tenant_name, names=names, stream=stream, origin=origin, key_of=key_of)


def build(settings: Settings, database: Database, admins: AdminCheck) -> Assembled:
    """Reading and forgetting. Connects to nothing until started or used."""
    reading = Reading(database, settings.tenant_name)
    keeper = Keeper("audit", reading.forget, reading.now, settings.audit_retention_days)
    return Assembled((views.blueprint(AuditService(reading, admins)),), (keeper,))


def operator_service(settings: Settings, database: Database) -> AuditService:
    """Reading for an operator with access to the database."""
    return AuditService(Reading(database, settings.tenant_name), StaticAdmins((), ()))
