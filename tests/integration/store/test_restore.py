"""A dump and its restore by PostgreSQL's own tools: with our tables and without, nothing opens that was closed."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from maas_api import migrations
from maas_api.validation.verdict import Verdict
from tests.support.go_service import GoService
from tests.support.postgres import PostgresServer
from tests.support.replicas import ANN, Replica, replicas

BUDGET = {"tokens": 100, "per": "total"}


@dataclass
class Keys:
    """Secrets by what they are, and what each opens."""

    secrets: dict[str, str]

    def opened(self, worker: Replica) -> dict[str, Any]:
        """What each opens now: nothing, or as whom, which models, and what it may spend."""
        return {name: _opened(worker.check(secret)) for name, secret in self.secrets.items()}


def _opened(verdict: Verdict) -> Any:
    if not verdict.valid:
        return None
    return (
        verdict.key_id, verdict.username, verdict.groups, verdict.subscription,
        verdict.models, verdict.budgets, verdict.expires_at,
    )  # fmt: skip


def made(worker: Replica, url: str) -> Keys:
    """One key of every kind there is."""
    secrets, ids = {}, {}
    for name, fields in {
        "plain": {},
        "labelled": {"labels": {"team": "blue"}},
        "of another subscription": {"subscription": "gold"},
        "limited to models": {"models": ["gpt-4o", "claude-*"]},
        "limited to models, labelled": {"models": ["gpt-4o"], "labels": {"team": "blue"}},
        "with a budget": {"budget": BUDGET},
        "limited twice": {"models": ["gpt-4o"], "budget": BUDGET},
        "revoked": {},
        "revoked, limited": {"models": ["gpt-4o"]},
        "expired": {},
        "ephemeral": {"ephemeral": True, "name": ""},
        "rotated": {},
        "rotated with an overlap": {},
        "rotated with an overlap, limited": {"models": ["gpt-4o"]},
        "without a subscription": {},
    }.items():
        secrets[name], ids[name] = worker.mint(**fields)
    for name in ("child", "child, to be kept", "child of one that the Go service revokes"):
        parent, parent_id = worker.mint()
        secrets[name], ids[name] = worker.mint(by=parent)
        if name == "child, to be kept":
            worker.service.revoke(ANN, parent_id, keep_children=True)
        elif name != "child":
            GoService(url).revoke(parent_id)
    for name in ("revoked", "revoked, limited"):
        worker.service.revoke(ANN, ids[name])
    for name in [name for name in secrets if name.startswith("rotated")]:
        grace = 3600 if "overlap" in name else 0
        done = worker.service.rotate(ANN, ids[name], grace_seconds=grace, idempotency_key=None)
        secrets[f"{name}, anew"] = done.secret.plaintext
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE api_keys SET expires_at = '2020-01-01' WHERE id = %s", (ids["expired"],))
        connection.execute("UPDATE api_keys SET subscription = '' WHERE id = %s", (ids["without a subscription"],))
    return Keys(secrets)


@pytest.fixture(scope="module")
def source(postgres: PostgresServer) -> tuple[str, Keys, dict[str, Any]]:
    """A database with keys, and what they open there."""
    url = postgres.migrated()
    with replicas(url) as (worker,):
        keys = made(worker, url)
        opened = keys.opened(worker)
    assert {name for name, open_ in opened.items() if open_ is None} == {
        "revoked", "revoked, limited", "expired", "rotated", "without a subscription",
        "child of one that the Go service revokes",
    }  # fmt: skip
    return url, keys, opened


def restored(postgres: PostgresServer, source: str, folder: Path, *options: str) -> str:
    """A new database with what ``pg_dump`` with these options saved of the other one."""
    dump, url = folder / "dump", postgres.empty()
    saved = [str(postgres.tool("pg_dump")), "--format=custom", f"--file={dump}", *options, source]
    subprocess.run(saved, check=True, capture_output=True)
    put_back = [str(postgres.tool("pg_restore")), "--no-owner", f"--dbname={url}", str(dump)]
    done = subprocess.run(put_back, capture_output=True, text=True)
    assert done.returncode == 0 or "maas_announce_key" in done.stderr, done.stderr
    return url


def test_with_our_tables_everything_is_as_it_was(
    postgres: PostgresServer, source: tuple[str, Keys, dict[str, Any]], tmp_path: Path
) -> None:
    url, keys, before = source
    copy = restored(postgres, url, tmp_path)
    migrations.upgrade(copy)
    with replicas(copy) as (worker,):
        assert keys.opened(worker) == before


@pytest.mark.parametrize(
    "options",
    [
        ("--table=api_keys", "--table=schema_migrations"),
        ("--exclude-table=maas_*",),
        ("--exclude-table-data=maas_key_*", "--exclude-table-data=maas_old_secrets"),
        ("--exclude-table-data=maas_key_models",),
        ("--exclude-table-data=maas_key_budgets",),
        ("--exclude-table-data=maas_key_parents",),
        ("--exclude-table-data=maas_old_secrets",),
        ("--exclude-table-data=maas_rotations",),
    ],
    ids=" ".join,
)
def test_without_them_nothing_opens_that_was_closed_and_what_was_not_limited_is_as_it_was(
    postgres: PostgresServer, source: tuple[str, Keys, dict[str, Any]], tmp_path: Path, options: tuple[str, ...]
) -> None:
    url, keys, before = source
    copy = restored(postgres, url, tmp_path, *options)
    migrations.upgrade(copy)
    with replicas(copy) as (worker,):
        after = keys.opened(worker)
        for name, opened in after.items():
            assert opened in (None, before[name]), f"{name}: {before[name]} became {opened}"
        for name in ("plain", "labelled", "of another subscription", "ephemeral", "rotated, anew"):
            assert after[name] == before[name] is not None


def test_what_was_lost_is_open_again_once_the_tables_are_back(
    postgres: PostgresServer, source: tuple[str, Keys, dict[str, Any]], tmp_path: Path
) -> None:
    url, keys, before = source
    copy = restored(postgres, url, tmp_path, "--table=api_keys", "--table=schema_migrations")
    migrations.upgrade(copy)
    migrations.upgrade(copy)  # a second start must not take the marks for a mistake
    dump = tmp_path / "ours"
    saved = [str(postgres.tool("pg_dump")), "--format=custom", "--data-only", "--table=maas_key_*",
             "--table=maas_old_secrets", f"--file={dump}", url]  # fmt: skip
    subprocess.run(saved, check=True, capture_output=True)
    put_back = [str(postgres.tool("pg_restore")), "--data-only", f"--dbname={copy}", str(dump)]
    subprocess.run(put_back, check=True, capture_output=True)
    with replicas(copy) as (worker,):
        assert keys.opened(worker) == before
