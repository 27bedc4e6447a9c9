"""Faults turned into answers, in one place for every key endpoint."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import sqlalchemy as sa

from maas_api.errors import plain
from maas_api.keys.policy import PolicyError
from maas_api.observability import metrics

_log = logging.getLogger(__name__)


@contextmanager
def policy_is_400() -> Iterator[None]:
    """Answer a broken rule with its sentence."""
    try:
        yield
    except PolicyError as fault:
        raise plain(400, str(fault)) from None


@contextmanager
def store_fault_is(message: str) -> Iterator[None]:
    """Answer a fault of the store with a constant; the details go to the log."""
    try:
        yield
    except sa.exc.SQLAlchemyError as fault:
        metrics.store_errors.labels("write").inc()
        _log.error("%s", message, exc_info=fault)
        raise plain(500, message) from fault


def revocation_fault_is(message: str, *, refused: bool) -> AbstractContextManager[None]:
    """As :func:`store_fault_is` for a revocation. ``refused``: its keys are refused from memory meanwhile, and the
    caller is told how far that goes."""
    return store_fault_is(message + _REFUSED_MEANWHILE if refused else message)


_REFUSED_MEANWHILE = (
    ": the store does not take it. This instance refuses what was to be revoked from now on and keeps trying; until "
    "the store takes it, another instance, or this one after a restart, still accepts it"
)
