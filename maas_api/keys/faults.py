"""Faults turned into answers, in one place for every key endpoint."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

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
