"""PostgreSQL for the benches, with as many keys as wanted."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from maas_api.keys import format as key_format
from tests.support.postgres import PostgresServer

_COLUMNS = "id, username, name, key_hash, user_groups, subscription, expires_at"


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """A server that syncs nothing to disk."""
    server = PostgresServer()
    try:
        yield server
    finally:
        server.stop()


def fill(url: str, rows: int, keys: Path, known: int = 5_000) -> None:
    """Insert rows; the plaintext of ``known`` of them goes to the file ``keys``, one a line."""
    made = [key_format.make() for _ in range(min(known, rows))]
    keys.write_text("\n".join(key.plaintext for key in made) + "\n")
    with psycopg.connect(url, autocommit=True) as connection:
        with connection.cursor().copy(f"COPY api_keys ({_COLUMNS}) FROM STDIN") as copy:
            for number, key in enumerate(made):
                copy.write_row(
                    (str(uuid.uuid4()), f"user-{number % 1000}", "bench", key.hash, ["team"], "bench", "2100-01-01")
                )
        if rows > len(made):
            connection.execute(
                f"INSERT INTO api_keys ({_COLUMNS})"
                " SELECT gen_random_uuid()::text, 'user-' || n %% 1000, 'bench', md5(n::text) || md5((-n)::text),"
                " ARRAY['team'], 'bench', '2100-01-01' FROM generate_series(1, %s) AS n".encode(),
                (rows - len(made),),
            )
        connection.execute("VACUUM ANALYZE api_keys")
