"""A change and its record are both there or neither, however the process ends; commands leave records as routes do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from maas_api import migrations
from maas_api.audit.query import Query, parse
from maas_api.audit.reading import Reading
from maas_api.audit.record import Entry
from maas_api.cli.audit import audit
from maas_api.cli.keys import keys
from maas_api.keys.statements.store import KeyStore
from maas_api.store.database import Database, open_database
from maas_api.store.keeper import Keeper
from tests.support.postgres import PostgresServer
from tests.support.process import ROOT
from tests.support.replicas import ANN, replicas

TENANT = "models-as-a-service"
ACTIONS = ("mint", "rotate", "revoke", "budget", "bulk-revoke", "tenant-revoke", "sweep", "read", "late", "import")

# Each action in a child of its own, which kills itself (-9) at the moment asked for.
PROGRAM = """
import json, os, signal, sys
from datetime import timedelta
from maas_api.config import load
from maas_api.audit.journal import Journal
from maas_api.identity.admin import StaticAdmins
from maas_api.identity.headers import Identity
from maas_api.keys.assembly import key_service
from maas_api.keys.fleet import KeyFleet
from maas_api.audit.record import Draft
from maas_api.keys import moving
from maas_api.keys.policy import UNLIMITED
from maas_api.keys.statements import bulk
from maas_api.keys.statements import moving as statements
from maas_api.keys.statements.store import KeyStore
from maas_api.store.database import open_database

url, moment, ids = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
write, told = Journal.write, Journal.told

def dies_before_the_commit(*given, **more):
    write(*given, **more)
    die()

if moment == "before":
    Journal.write = dies_before_the_commit
else:
    Journal.told = lambda *given: die()

class Any:
    def resolve(self, who, requested):
        return "s"

def act(action, key_id):
    store = KeyStore(open_database(url), "models-as-a-service")
    admins = StaticAdmins(("root",), ())
    service, fleet = key_service(load({}, {}), store, Any(), admins), KeyFleet(store, admins)
    ann, root, owner = Identity("ann", ("g",)), Identity("root", ("g",)), Identity("of-" + action, ("g",))
    if action == "mint":
        asked = {"name": "k", "description": "", "subscription": "", "expiresIn": None}
        service.mint(owner, {**asked, "ephemeral": False, "labels": {}, "models": None})
    elif action == "rotate":
        service.rotate(owner, key_id, grace_seconds=0, idempotency_key=None)
    elif action == "revoke":
        service.revoke(owner, key_id)
    elif action == "budget":
        service.set_budget(root, key_id, [{"tokens": 1, "per": "day"}])
    elif action == "bulk-revoke":
        fleet.bulk_revoke(root, {"username": owner.username, "subscription": "", "dryRun": False})
    elif action == "tenant-revoke":
        fleet.end_tenant("models-as-a-service")
    elif action == "sweep":
        fleet.sweep()
    elif action == "read":
        service.get(root, key_id)
    elif action == "import":
        line = {"hash": "a" * 64, "username": "moved", "groups": ["g"], "subscription": "s", "models": ["m"]}
        line["expiresAt"] = (store.now() + timedelta(days=1)).isoformat()
        said = [json.dumps(line).encode()]
        keys, _ = moving.foreign(said, store.tenant, now=store.now(), max_days=90, spending=UNLIMITED)
        statements.take_in(store, keys, Draft("import", "root"), partly=False)
    elif action == "late":
        bulk.revoke_these(store, [key_id])

for action, key_id in ids.items():
    child = os.fork()
    if child == 0:
        try:
            act(action, key_id)
        finally:
            os._exit(3)
    _pid, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (action, status)
"""


def seeded(database: Database) -> dict[str, str]:
    """A key for each action to be done to; its owner is called after the action."""
    ids = {action: f"key-{action}" for action in ACTIONS}
    groups = "ARRAY['g']" if database.postgres else "'[\"g\"]'"
    with database.writing() as connection:
        for action, key_id in ids.items():
            connection.execute(
                sa.text(
                    "INSERT INTO api_keys (id, username, name, key_hash, user_groups, created_at, expires_at,"
                    " ephemeral, subscription) VALUES"
                    f" (:id, :user, 'k', :id, {groups}, '2026-01-01 00:00:00.000000', :expires, :ephemeral, 's')"
                ),
                {
                    "id": key_id, "user": f"of-{action}", "ephemeral": action == "sweep",
                    "expires": "2020-01-01 00:00:00.000000" if action == "sweep" else "2099-01-01 00:00:00.000000",
                },
            )  # fmt: skip
    return ids


def state(database: Database) -> dict[str, list[Any]]:
    """All that a change may touch."""
    with database.reading() as connection:
        return {
            table: sorted(map(str, connection.execute(sa.text(f"SELECT * FROM {table}"))))
            for table in ("api_keys", "maas_key_budgets", "maas_key_models")
        }


def found(database: Database, **asked: str) -> list[Entry]:
    query = parse({name: [value] for name, value in asked.items()})
    return Reading(database, TENANT).find(query)[0]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_process_that_is_killed_leaves_both_or_neither(database: Database, moment: str) -> None:
    ids = seeded(database)
    before = state(database)
    last = "tenant-revoke"  # it would leave the others nothing to do
    killed(database, moment, {action: ids[action] for action in sorted(ACTIONS, key=lambda one: one == last)})
    records = found(database)
    if moment == "before":
        assert state(database) == before
        assert records == []
        return
    assert state(database) != before
    assert sorted(record.action for record in records) == sorted(
        action if action != "late" else "revoke" for action in ACTIONS
    )
    with database.reading() as connection:
        rows = connection.execute(sa.text("SELECT username, status FROM api_keys"))
        changed = {row.username: row.status for row in rows}
    assert changed["of-revoke"] == changed["of-bulk-revoke"] == changed["of-late"] == "revoked"
    assert "of-sweep" not in changed
    assert {"of-mint", "moved"} <= changed.keys()


def killed(database: Database, moment: str, ids: dict[str, str]) -> None:
    command = [sys.executable, "-c", PROGRAM, database.url, moment, json.dumps(ids)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_record_that_cannot_be_written_takes_its_change_with_it(database: Database) -> None:
    seeded(database)
    before = state(database)
    with database.writing() as connection:
        connection.execute(sa.text("DROP TABLE maas_audit"))
    store = KeyStore(database, TENANT)
    from maas_api.audit.record import Draft

    for change in (
        lambda: store.revoke("key-revoke", Draft("revoke", "ann")),
        lambda: store.set_budgets("key-budget", (), Draft("budget", "ann")),
    ):
        with pytest.raises(sa.exc.SQLAlchemyError):
            change()
    assert state(database) == before


class TestCommands:
    """On the command line the operator acts, by the account's name."""

    @pytest.fixture
    def service(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
        path = tmp_path / "keys.db"
        migrations.upgrade(f"sqlite:///{path}")
        monkeypatch.setenv("SQLITE_PATH", str(path))
        monkeypatch.setenv("AUDIT_FILE", str(tmp_path / "audit.jsonl"))
        monkeypatch.setenv("LOG_LEVEL", "warning")
        made = open_database(f"sqlite:///{path}")
        yield made
        made.stop()

    def run(self, *arguments: str) -> dict[str, Any]:
        done = CliRunner().invoke(keys, [*arguments, "--output", "json"])
        assert done.exit_code == 0, done.output
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def test_each_that_changes_or_shows_keys_leaves_one_record(self, service: Database, tmp_path: Path) -> None:
        made = self.run("create", "k", "--user", "ann", "--group", "g", "--subscription", "s")
        key_id = str(made["id"])
        steps = {
            "create": ("mint", []),
            "rotate": ("rotate", [key_id]),
            "budget": ("budget", [key_id, "5 tokens/day"]),
            "show": ("read", [key_id]),
            "list": ("search", []),
            "revoke": ("revoke", [key_id]),
            "bulk-revoke": ("bulk-revoke", ["--user", "ann"]),
        }
        apart = {"export", "import"}  # of many keys: test_moving.py
        assert set(steps) == set(keys.commands) - apart, "a new command belongs here"
        for name, (_action, arguments) in steps.items():
            if name != "create":
                self.run(name, *arguments)
        records = found(service)[::-1]
        assert [record.action for record in records] == [action for action, _ in steps.values()]
        for record in records:
            assert record.actor.startswith("operator:")
            ids = () if record.action == "bulk-revoke" else (key_id,)  # nothing is left to revoke by then
            assert (record.via, record.key_ids, record.outcome) == ("command line", ids, "done")
            assert record.owner in ("ann", "")
        lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
        assert [line["id"] for line in lines] == [record.id for record in records]
        assert lines[0]["owner"] == "ann"
        assert (tmp_path / "audit.jsonl").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("output", ["table", "csv", "json"])
    def test_the_audit_is_read_there_too(self, service: Database, output: str) -> None:
        made = self.run("create", "k", "--user", "ann", "--group", "g", "--subscription", "s")
        self.run("revoke", str(made["id"]))
        asked = ["--owner", "ann", "--key", str(made["id"]), "--limit", "1", "--output", output]
        first = CliRunner().invoke(audit, asked)
        assert first.exit_code == 0, first.output
        assert "revoke" in first.stdout
        assert "mint" not in first.stdout
        after = json.loads(first.stdout)["next"] if output == "json" else first.stderr.split()[-1]
        assert "mint" in CliRunner().invoke(audit, [*asked, "--after", after]).stdout

    def test_a_wrong_question_ends_in_one_sentence(self, service: Database) -> None:
        done = CliRunner().invoke(audit, ["--from", "yesterday"])
        assert done.exit_code == 1
        assert done.output.startswith("Error: from: must be a day")

    def test_a_file_that_takes_no_line_is_counted_and_stops_nothing(
        self, service: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from maas_api.observability import metrics

        monkeypatch.setenv("AUDIT_FILE", str(tmp_path / "no" / "such" / "folder"))
        lost = metrics.audit_lines_lost.labels().value
        self.run("create", "k", "--user", "ann", "--group", "g", "--subscription", "s")
        assert metrics.audit_lines_lost.labels().value == lost + 1
        assert len(found(service)) == 1


def test_a_revocation_by_a_replica_is_recorded_with_all_its_keys(postgres: PostgresServer) -> None:
    url = postgres.migrated()
    with replicas(url) as (worker,):
        ids = sorted(worker.mint()[1] for _ in range(30))
        for key_id in ids[:2]:
            worker.service.revoke(ANN, key_id)
        from maas_api.audit.record import Draft
        from maas_api.keys.statements import bulk

        draft = Draft("bulk-revoke", "root", "ann", always=True)
        assert bulk.revoke_active(worker.store, username="ann", subscription=None, draft=draft) == 28
        assert bulk.revoke_active(worker.store, username="ann", subscription=None, draft=draft) == 0
        database = worker.store.database
        again, made = found(database, action="bulk-revoke")
        assert (made.keys, made.key_ids) == (28, tuple(ids[2:]))
        assert (again.keys, again.key_ids) == (0, ())


class TestRetention:
    """What is old goes, and nobody waits for it."""

    def test_old_records_are_deleted_and_newer_ones_stay(self, database: Database) -> None:
        from maas_api.store import months

        now = datetime.now(UTC)
        old, edge = now - timedelta(days=200), now - timedelta(days=5)
        insert = "INSERT INTO maas_audit VALUES (:id, :at, :t, 'mint', 'done', 'a', '', '', 'a', 1, '', '{}')"
        with database.writing() as connection:
            for name, at in (("old", old), ("edge", edge), ("new", now)):
                if database.postgres:
                    for table in ("maas_audit", "maas_audit_keys"):
                        months.ensure(connection, table, at, fill=100)
                shown = at if database.postgres else at.strftime("%Y-%m-%d %H:%M:%S.%f")
                connection.execute(sa.text(insert), {"id": name, "at": shown, "t": TENANT})
                connection.execute(
                    sa.text("INSERT INTO maas_audit_keys VALUES (:id, 'key', :at)"), {"id": name, "at": shown}
                )
        reading = Reading(database, TENANT)
        Keeper("audit", reading.forget, reading.now, 0).look()
        assert [record.id for record in reading.find(Query())[0]] == ["new", "edge", "old"]
        with database.reading() as reader:  # somebody reads meanwhile
            reader.execute(sa.text("SELECT count(*) FROM maas_audit WHERE at > :at"), {"at": str(edge)})
            Keeper("audit", reading.forget, reading.now, 30).look()
        assert [record.id for record in reading.find(Query())[0]] == ["new", "edge"]
        with database.reading() as connection:
            left = connection.execute(sa.text("SELECT count(*) FROM maas_audit_keys")).scalar()
        assert left == 2
