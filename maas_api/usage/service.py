"""Who may read whose usage, and the answers. Every method raises ApiError with the answer for the caller."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import sqlalchemy as sa

from maas_api.errors import plain
from maas_api.identity.admin import AdminCheck, AdminCheckError
from maas_api.identity.headers import Identity
from maas_api.keys.record import KeyRecord
from maas_api.observability import metrics
from maas_api.parameters import QueryError
from maas_api.usage import query as queries
from maas_api.usage.prices import PriceBook
from maas_api.usage.query import Query
from maas_api.usage.readers import Reader
from maas_api.usage.report import KeyName, Report, fold, priced_by
from maas_api.usage.statements.reading import ROWS_MAX, Reading, TooManyError

_log = logging.getLogger(__name__)

Parameters = Mapping[str, Sequence[str]]
_NO_KEY = "API key not found"


class UsageService:
    """Own usage for everyone, all of the tenant for admins, and of others not even that it exists."""

    def __init__(
        self,
        reading: Reading,
        key: Callable[[str], KeyRecord | None],
        admins: AdminCheck,
        prices: Callable[[], PriceBook],
        now: Callable[[], datetime],
    ) -> None:
        """``key`` gives a key of the tenant by its id and raises sqlalchemy.exc.SQLAlchemyError."""
        self._reading = reading
        self._key = key
        self._admins = admins
        self.prices = prices
        self.now = now

    def report(self, reader: Reader, parameters: Parameters) -> Report:
        """Sums of the calls of a key that asks; of a user's who does, or of anyone's for an admin.

        A filter by someone else's key finds what a filter by no key at all finds: nothing.
        """
        asked = self._parse(parameters)
        scope = asked.scope or ("key" if reader.key_id else "")
        if reader.limited and scope != "key":
            raise plain(403, "an API key with an allow-list or a budget reads its own usage alone", code="limited_key")
        if scope == "key":
            asked = _of_the_key(reader, asked)
        elif scope == "tenant" and not self._is_admin(reader.who):
            raise plain(403, "scope: tenant is for admins")
        elif scope != "user" and self._is_admin(reader.who):
            return self.answer(asked)
        return self.answer(_of_the_user(reader.who, asked))

    def everyone(self, parameters: Parameters) -> Report:
        """Sums of the whole tenant, for whoever may ask that without being asked who they are."""
        return self.answer(self._parse(parameters))

    def of_key(self, reader: Reader, key_id: str, parameters: Parameters) -> Report:
        """Sums of one key's calls, also after the key is gone. Raises 404 unless it is the caller's or they are an
        admin; a key that asks for another one's needs a scope for that."""
        with store_fault_is("Failed to retrieve API key"):
            owner = None if "\0" in key_id else self._owner(key_id)
        if owner is None or not self._may_read(reader.who, owner):
            raise plain(404, _NO_KEY)
        asked = self._parse(parameters)
        if reader.key_id not in ("", key_id):
            wanted = ("user", "tenant") if owner == reader.who.username else ("tenant",)
            if reader.limited or asked.scope not in wanted:
                raise plain(404, _NO_KEY)
        for name in ("key", "user"):
            if name in asked.only:
                raise plain(400, f"{name}: the path names the key already")
        return self.answer(asked._replace(only={**asked.only, "key": (key_id,), "user": (owner,)}))

    def answer(self, asked: Query) -> Report:
        """The answer to a query that the caller may ask."""
        book = self.prices()
        with store_fault_is("Failed to read usage"):
            try:
                rows = self._reading.sums(priced_by(asked) if book else asked)
            except TooManyError:
                raise plain(
                    400,
                    f"the answer would be made of more than {ROWS_MAX} rows: "
                    "ask for a shorter time, a longer interval or fewer groups",
                ) from None
            lines, total = fold(asked, rows, book)
            names: Mapping[str, KeyName] = {}
            if "key" in asked.group_by:
                place = asked.group_by.index("key")
                names = self._reading.names({line.group[place] for line in lines} - {""})
        return Report(asked, lines, total, names)

    def _parse(self, parameters: Parameters) -> Query:
        try:
            return queries.parse(parameters, self.now())
        except QueryError as fault:
            raise plain(400, str(fault)) from None

    def _owner(self, key_id: str) -> str | None:
        record = self._key(key_id)
        if record is not None:
            return record.username
        known = self._reading.names([key_id]).get(key_id)
        return None if known is None else known.username

    def _may_read(self, who: Identity, owner: str) -> bool:
        """Owner or admin. When the admin check fails the key stays hidden: an error would tell that it exists."""
        if owner == who.username:
            return True
        try:
            return self._admins.is_admin(who)
        except AdminCheckError:
            _log.warning("admin check failed, the key's usage stays hidden", exc_info=True)
            return False

    def _is_admin(self, who: Identity) -> bool:
        try:
            return self._admins.is_admin(who)
        except AdminCheckError as fault:
            raise plain(500, "Failed to check authorization") from fault


def _of_the_key(reader: Reader, asked: Query) -> Query:
    if not reader.key_id:
        raise plain(400, "scope: key is for callers with an API key; ask for one of yours by key=ID")
    if set(asked.only.get("key", ())) - {reader.key_id}:
        raise plain(403, "key: an API key reads its own usage; scope=user asks for all of its owner's")
    return asked._replace(only={**asked.only, "key": (reader.key_id,)})


def _of_the_user(who: Identity, asked: Query) -> Query:
    if asked.only.get("user", (who.username,)) != (who.username,):
        raise plain(403, "non-admin users can only read their own usage")
    return asked._replace(only={**asked.only, "user": (who.username,)})


@contextmanager
def store_fault_is(message: str) -> Iterator[None]:
    """Answer a fault of the store with a constant; the details go to the log."""
    try:
        yield
    except sa.exc.SQLAlchemyError as fault:
        metrics.store_errors.labels("usage").inc()
        _log.error("%s", message, exc_info=fault)
        raise plain(500, message) from fault
