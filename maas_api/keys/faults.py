"""Faults turned into answers, in one place for every key endpoint."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import sqlalchemy as sa

from maas_api.errors import ApiError, plain
from maas_api.keys.policy import PolicyError
from maas_api.keys.statements import caps
from maas_api.keys.statements.caps import Caps
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


def limited_key(how: str) -> ApiError:
    """The refusal of a limited key that would change keys. The Go service lets an API key manage its owner's: one could
    then mint another without its limit, or be shown another's new secret."""
    return plain(403, f"an API key {how} must not mint, rotate or revoke keys", code="limited_key")


def imported_key() -> ApiError:
    """The refusal to change a key that came from another gateway: its secret is shown there, and was made there."""
    return plain(
        409,
        "the API key was imported from another gateway: it can be revoked, and not changed; mint a new one instead",
        code="imported_key",
    )


def not_accepted(why: str) -> ApiError:
    """The refusal of an API key that the gateway let pass, in ``why``."""
    return plain(401, f"the API key is not accepted: {why}")


@contextmanager
def refused_beyond(limits: Caps) -> Iterator[None]:
    """Answer a user who has, or makes, as many keys as one may."""
    try:
        yield
    except caps.TooManyError as fault:
        raise plain(
            409,
            f"you have {limits.active} active API keys, as many as one user may have; revoke one first, the oldest is "
            f"{fault.name!r} ({fault.key_id})",
            code="too_many_keys",
        ) from None
    except caps.TooFastError as fault:
        raise plain(
            429,
            f"you made {limits.in_a_minute} API keys in the last minute, as many as one user may; try again in "
            f"{fault.seconds} s",
            code="too_many_mints",
            headers=(("Retry-After", str(fault.seconds)),),
        ) from None


_REFUSED_MEANWHILE = (
    ": the store does not take it. This instance refuses what was to be revoked from now on and keeps trying; until "
    "the store takes it, another instance, or this one after a restart, still accepts it"
)
