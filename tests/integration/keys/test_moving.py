"""Keys moved from one store to another: nothing opens that was closed, and nobody learns a secret on the way."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from maas_api.audit.query import parse
from maas_api.audit.reading import Reading
from maas_api.audit.record import Entry
from maas_api.store.database import open_database
from maas_api.validation.verdict import Verdict
from tests.support.moving import Store, count, exported, run
from tests.support.replicas import ANN, Replica, replicas

BUDGET = {"tokens": 100, "per": "total"}


def sql(url: str, statement: str) -> None:
    database = open_database(url)
    with database.writing() as connection:
        connection.execute(sa.text(statement))
    database.stop()


def audit_rows(url: str) -> list[Entry]:
    database = open_database(url)
    found, _more = Reading(database, "models-as-a-service").find(parse({}))
    database.stop()
    return found


def opens(verdict: Verdict) -> Any:
    return verdict._replace(body=b"") if verdict.valid else None


def made(worker: Replica, url: str) -> dict[str, str]:
    """A key of every kind: their secrets."""
    secrets, ids = {}, {}
    kinds: dict[str, dict[str, Any]] = {
        "plain": {},
        "labelled": {"labels": {"team": "blue"}, "description": "for tests"},
        "limited": {"models": ["gpt-4o", "claude-*"], "subscription": "gold"},
        "with a budget": {"budget": BUDGET},
        "ephemeral": {"ephemeral": True, "name": ""},
        "revoked": {"models": ["gpt-4o"]},
        "expired": {},
        "rotated": {"models": ["gpt-4o"]},
        "rotated at once": {},
        "without its limit": {"models": ["gpt-4o"]},
        "without a subscription": {},
        "named oddly": {"name": 'a "b" \N{SNOWMAN}'},
    }
    for name, fields in kinds.items():
        secrets[name], ids[name] = worker.mint(**fields)
    parent, _ = worker.mint()
    secrets["parent"] = parent
    secrets["child"], _ = worker.mint(by=parent)
    secrets["grandchild"], _ = worker.mint(by=secrets["child"], models=["gpt-4o"])
    other, other_id = worker.mint()
    secrets["child of one revoked in SQL"], _ = worker.mint(by=other)
    kept, kept_id = worker.mint()
    secrets["kept child"], _ = worker.mint(by=kept)
    worker.service.revoke(ANN, kept_id, keep_children=True)
    worker.service.revoke(ANN, ids["revoked"])
    for name, grace in (("rotated", 3600), ("rotated at once", 0)):
        done = worker.service.rotate(ANN, ids[name], grace_seconds=grace, idempotency_key=None)
        secrets[f"{name}, anew"] = done.secret.plaintext
    sql(url, f"UPDATE api_keys SET status = 'revoked' WHERE id = '{other_id}'")
    sql(url, f"UPDATE api_keys SET expires_at = '2020-01-01 00:00:00.000000' WHERE id = '{ids['expired']}'")
    sql(url, f"UPDATE api_keys SET subscription = '' WHERE id = '{ids['without a subscription']}'")
    sql(url, f"DELETE FROM maas_key_models WHERE key_id = '{ids['without its limit']}'")
    sql(
        url,
        "INSERT INTO maas_budget_use (key_id, per, begins, used, generation, held, held_before)"
        f" VALUES ('{ids['with a budget']}', 'total', '1970-01-01 00:00:00.000000', 70, 3, 20, 5)",
    )
    return secrets


CLOSED = {
    "revoked", "expired", "rotated at once", "without its limit", "without a subscription",
    "child of one revoked in SQL",
}  # fmt: skip


def test_what_is_moved_opens_there_what_it_opened_here_and_no_more(new_store: Store, tmp_path: Path) -> None:
    url, there, file = new_store(), new_store(), tmp_path / "keys.jsonl"
    with replicas(url) as (worker,):
        secrets = made(worker, url)
        before = {name: opens(worker.check(secret)) for name, secret in secrets.items()}
    assert {name for name, opened in before.items() if opened is None} == CLOSED
    lines = exported(url, file)
    done = run(there, "import", str(file))
    assert (done.exit_code, f"{len(lines) - 2}  new" in done.stdout) == (0, True), done.output
    with replicas(there) as (worker,):
        assert {name: opens(worker.check(secret)) for name, secret in secrets.items()} == before
    again = exported(there, tmp_path / "again.jsonl")
    spent = {"per": "total", "begins": "1970-01-01T00:00:00Z", "used": 95}
    assert [line["spent"] for line in again[1:-1] if line["budget"]] == [[spent]], "nothing is spent twice"
    assert [line | {"lastUsedAt": None} for line in again[1:]] == [line | {"lastUsedAt": None} for line in lines[1:]]


def test_the_same_file_twice_changes_nothing_and_says_so(new_store: Store, tmp_path: Path) -> None:
    url, there, file = new_store(), new_store(), tmp_path / "keys.jsonl"
    with replicas(url) as (worker,):
        made(worker, url)
    lines = exported(url, file)
    assert run(there, "import", str(file)).exit_code == 0
    tables = ("api_keys", "maas_key_models", "maas_key_budgets", "maas_key_parents", "maas_old_secrets", "maas_audit")
    before = {table: count(there, table) for table in tables}
    for _ in range(2):
        done = run(there, "import", str(file))
        assert (done.exit_code, f"{len(lines) - 2}  here already" in done.stdout) == (0, True), done.output
        assert "nothing is changed" in done.stdout
    assert {table: count(there, table) for table in tables} == before


def test_a_dry_run_says_what_it_would_be_and_changes_nothing(new_store: Store, tmp_path: Path) -> None:
    url, there, file = new_store(), new_store(), tmp_path / "keys.jsonl"
    with replicas(url) as (worker,):
        worker.mint()
    exported(url, file)
    done = run(there, "import", str(file), "--dry-run")
    assert (done.exit_code, "1  new" in done.stdout, "nothing is changed" in done.stdout) == (0, True, True)
    assert count(there, "api_keys") == count(there, "maas_audit") == 0


def test_a_key_that_was_revoked_there_stays_so_and_one_revoked_here_since_is_revoked_there(
    new_store: Store, tmp_path: Path
) -> None:
    url, there = new_store(), new_store()
    with replicas(url) as (here,):
        (one, one_id), (two, two_id) = here.mint(), here.mint()
        child, _ = here.mint(by=two)
        exported(url, tmp_path / "first")
        run(there, "import", str(tmp_path / "first"))
        here.service.revoke(ANN, two_id, keep_children=False)
        exported(url, tmp_path / "second")
    with replicas(there) as (worker,):
        worker.service.revoke(ANN, one_id)
        assert worker.check(two).valid
        assert worker.check(child).valid
        done = run(there, "import", str(tmp_path / "second"))
        assert done.exit_code == 0
        assert f"{one_id} is here otherwise than in the file, and stays as it is" in done.stderr
        assert not any(worker.check(key).valid for key in (one, two, child))


@pytest.mark.parametrize("hashes", [False, True])
def test_an_export_holds_no_secret_and_a_hash_only_when_asked_for(
    new_store: Store, tmp_path: Path, hashes: bool
) -> None:
    url, file = new_store(), tmp_path / "keys.jsonl"
    file.write_text("readable by everybody")
    file.chmod(0o644)
    with replicas(url) as (worker,):
        secrets = made(worker, url)
    old = os.umask(0)
    try:
        done = run(url, "export", str(file), *(["--hashes"] if hashes else []))
    finally:
        os.umask(old)
    assert done.exit_code == 0, done.output
    text = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.glob(".keys*")) == []
    for said in (text, done.output, run(url, "export").output):
        for secret in secrets.values():
            assert secret not in said
            assert secret.rpartition("_")[2] not in said
    database = open_database(url)
    with database.reading() as connection:
        known = connection.execute(sa.text("SELECT key_hash FROM api_keys")).scalars().all()
        known = [*known, *connection.execute(sa.text("SELECT key_hash FROM maas_old_secrets")).scalars()]
    database.stop()
    assert [found in text for found in known] == [hashes] * len(known)
    assert not any(found in run(url, "export").output for found in known)


def test_both_leave_a_record_of_who_and_which(new_store: Store, tmp_path: Path) -> None:
    url, there, file = new_store(), new_store(), tmp_path / "keys.jsonl"
    with replicas(url) as (worker,):
        ids = {worker.mint()[1], worker.mint()[1]}
    exported(url, file)
    run(there, "import", str(file))
    (out,) = [row for row in audit_rows(url) if row.action == "export"]
    (taken_in,) = audit_rows(there)
    assert (out.keys, out.via, out.details["hashes"]) == (2, "command line", "yes")
    assert (taken_in.action, taken_in.keys, taken_in.via) == ("import", 2, "command line")
    assert out.actor == taken_in.actor
    assert out.actor.startswith("operator:")
    assert set(out.key_ids) == set(taken_in.key_ids) == ids
