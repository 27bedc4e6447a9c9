"""Validation over a real store without a server around it: one worker's parts, as many as a test wants."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any

from maas_api.config import Settings, load
from maas_api.identity.admin import StaticAdmins
from maas_api.identity.headers import Identity
from maas_api.keys import assembly as keys
from maas_api.validation import assembly as validation
from maas_api.validation.verdict import Verdict
from tests.support.started import started

ANN = Identity("ann", ("team",))


class AnySubscription:
    """Binds what was asked for."""

    def resolve(self, who: Identity, requested: str) -> str:
        """The requested name, or ``default``."""
        return requested or "default"


class Replica:
    """One worker process's keys and their validation."""

    def __init__(self, settings: Settings, url: str) -> None:
        admins, bound = StaticAdmins(("root",), ()), AnySubscription()
        made = keys.build(settings, url, bound, admins)
        checking = validation.build(settings, url, made.store)
        self.store, self.validation = made.store, checking.validation
        self.service = keys.key_service(settings, made.store, bound, admins)
        self._background = (*made.background, *checking.background)

    def start(self) -> None:
        for part in self._background:
            part.start()

    def stop(self) -> None:
        for part in reversed(self._background):
            part.stop()

    def mint(self, *, by: str | None = None, **fields: Any) -> tuple[str, str]:
        """A new key of ann's, minted with the key ``by``: its plaintext and its id."""
        asked = {"name": f"key-{uuid.uuid4().hex[:8]}", "description": "", "subscription": "", "expiresIn": None}
        made = self.service.mint(ANN, {**asked, "ephemeral": False, "labels": {}, "models": None, **fields}, by=by)
        return made.secret.plaintext, made.record.id

    def check(self, key: str) -> Verdict:
        """The verdict, waited for beyond every deadline. Raises Unavailable."""
        answer = self.validation.check(key)
        return answer.result(20) if isinstance(answer, Future) else answer

    def remembers(self, key: str) -> bool:
        """Whether the answer comes from memory."""
        return isinstance(self.validation.check(key), Verdict)


def replicas(url: str, count: int = 1, **flags: str) -> AbstractContextManager[Sequence[Replica]]:
    """That many workers on one store, started and stopped."""
    defaults = {"kubernetes": "off", "validation_deadline_ms": "1000", "last_used_flush_seconds": "0.2"}
    return started([Replica(load({**defaults, **flags}, {}), url) for _ in range(count)])
