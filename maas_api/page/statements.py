"""What the page keeps in the store: the installation's key, sessions, one-time links. Of secrets only their hashes,
but for the key, which signs and opens nothing by itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from maas_api.identity.headers import Identity
from maas_api.page.signing import digest, new_key
from maas_api.store.database import Database
from maas_api.store.tables import Moment

_metadata = sa.MetaData()

installation_keys = sa.Table(
    "maas_installation_keys",
    _metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("key", sa.LargeBinary, nullable=False),
)


def _signed_in(name: str, secret: str) -> sa.Table:
    """A table of who may come in by a secret; ``secret`` is the column that holds its hash."""
    return sa.Table(
        name,
        _metadata,
        sa.Column(secret, sa.Text, primary_key=True),
        sa.Column("tenant", sa.Text, nullable=False),
        sa.Column("username", sa.Text, nullable=False),
        sa.Column("user_groups", sa.JSON, nullable=False),
        sa.Column("credential", sa.Text, nullable=False),
        sa.Column("expires_at", Moment, nullable=False),
    )


sessions = _signed_in("maas_page_sessions", "id_hash")
links = _signed_in("maas_page_links", "code_hash")


class SignedIn(NamedTuple):
    """Who a session or a link is for. ``credential``: the SHA-256 of the token that vouches for it."""

    who: Identity
    credential: str
    expires_at: datetime


class PageStore:
    """The page's rows of one tenant. Every method raises sqlalchemy.exc.SQLAlchemyError."""

    def __init__(self, database: Database, tenant: str) -> None:
        self._database = database
        self._tenant = tenant

    def key(self) -> bytes:
        """The installation's key, made by whoever asks first."""
        wanted = sa.select(installation_keys.c.key).where(installation_keys.c.name == self._tenant)
        with self._database.reading() as connection:
            found = connection.execute(wanted).scalar_one_or_none()
        if found is not None:
            return bytes(found)
        made = sa.text(
            "INSERT INTO maas_installation_keys (name, key) VALUES (:name, :key) ON CONFLICT (name) DO NOTHING"
        )
        with self._database.writing() as connection:
            connection.execute(made, {"name": self._tenant, "key": new_key()})
            return bytes(connection.execute(wanted).scalar_one())

    def begin(self, session: str, held: SignedIn, now: datetime) -> None:
        """Keep a session; drop those that are over."""
        with self._database.writing() as connection:
            for table in (sessions, links):
                connection.execute(sa.delete(table).where(table.c.expires_at <= now))
            connection.execute(sa.insert(sessions), {"id_hash": digest(session), **self._row(held)})

    def find(self, session: str, now: datetime) -> SignedIn | None:
        """A session that is not over."""
        columns = sessions.c
        asked = sa.select(sessions).where(
            columns.id_hash == digest(session), columns.tenant == self._tenant, columns.expires_at > now
        )
        with self._database.reading() as connection:
            return _held(connection.execute(asked).one_or_none())

    def end(self, session: str) -> None:
        """Forget a session."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(sessions).where(sessions.c.id_hash == digest(session)))

    def end_all(self, username: str) -> int:
        """Forget every session and link of a user; gives how many sessions there were."""
        with self._database.writing() as connection:
            for table in (links, sessions):
                mine = sa.and_(table.c.tenant == self._tenant, table.c.username == username)
                done = connection.execute(sa.delete(table).where(mine))
        return done.rowcount

    def put_link(self, code: str, held: SignedIn) -> None:
        """Keep a link that signs in once."""
        with self._database.writing() as connection:
            connection.execute(sa.insert(links), {"code_hash": digest(code), **self._row(held)})

    def take_link(self, code: str, now: datetime) -> SignedIn | None:
        """Use a link up. Of two at once, one gets it."""
        columns = links.c
        mine = sa.and_(columns.code_hash == digest(code), columns.tenant == self._tenant)
        with self._database.writing() as connection:
            found = _held(connection.execute(sa.delete(links).where(mine).returning(*_order(links))).one_or_none())
        return found if found is not None and found.expires_at > now else None

    def _row(self, held: SignedIn) -> dict[str, Any]:
        return {
            "tenant": self._tenant,
            "username": held.who.username,
            "user_groups": list(held.who.groups),
            "credential": held.credential,
            "expires_at": held.expires_at,
        }


def _order(table: sa.Table) -> Sequence[sa.Column[Any]]:
    return list(table.c)


def _held(row: sa.Row[Any] | None) -> SignedIn | None:
    if row is None:
        return None
    return SignedIn(Identity(row.username, tuple(row.user_groups)), row.credential, row.expires_at)
