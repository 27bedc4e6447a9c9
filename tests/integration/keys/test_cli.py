"""``maas-api keys`` against a store that a service is using."""

from __future__ import annotations

import json
import logging
import os
import pty
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from maas_api import migrations
from maas_api.cli import main
from maas_api.keys.budget import Budget
from tests.support.process import ROOT
from tests.support.replicas import Replica, replicas


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    address = f"sqlite:///{tmp_path / 'keys.db'}"
    monkeypatch.setenv("DATABASE_URL", address)
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    yield address
    root.handlers[:] = before  # the command took the log over


@pytest.fixture
def service(url: str) -> Iterator[Replica]:
    migrations.upgrade(url)
    with replicas(url) as (one,):
        yield one


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["keys", *arguments])


def created(*more: str) -> dict[str, object]:
    done = run(
        "create", "by hand", "--user", "ann", "--group", "team", "--subscription", "gold", "--output", "json", *more
    )
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_a_key_made_by_hand_validates_and_one_revoked_by_hand_is_refused_at_once(service: Replica) -> None:
    made = created("--label", "a=b", "--model", "gpt-*", "--expires-in", "1d")
    verdict = service.check(str(made["key"]))
    assert (verdict.valid, verdict.username, verdict.subscription, verdict.models) == (True, "ann", "gold", ("gpt-*",))
    assert run("revoke", str(made["id"])).exit_code == 0
    assert not service.check(str(made["key"])).valid


def test_a_secret_is_printed_by_create_and_rotate_only(service: Replica) -> None:
    made = created()
    rotated = json.loads(run("rotate", str(made["id"]), "--grace", "60", "--output", "json").stdout)
    assert service.check(rotated["key"]).valid
    assert service.check(str(made["key"])).valid
    for output in (run("list").output, run("show", str(made["id"])).output, run("revoke", str(made["id"])).output):
        assert "by hand" in output
        for secret in (made["key"], rotated["key"]):
            assert str(secret) not in output
            assert str(secret).rpartition("_")[2] not in output


def test_a_list_narrows_and_says_when_there_is_more(service: Replica) -> None:
    for _ in range(3):
        created()
    assert len(run("list", "--user", "bob").stdout.splitlines()) == 1
    page = run("list", "--limit", "2")
    assert len(page.stdout.splitlines()) == 3
    assert "more: --offset 2" in page.stderr
    assert len(json.loads(run("list", "--status", "active", "--output", "json").stdout)["data"]) == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "nope"), "API key not found"),
        (("create", "--user", "u", "--group", "g", "--subscription", "s"), "name is required for non-ephemeral keys"),
        (("create", "n", "--user", "u", "--group", "g"), "--subscription: must be given"),
        (("create", "n", "--user", "u", "--group", "g", "--label", "x", "--subscription", "s"), "must be KEY=VALUE"),
        (("list", "--status", "lost"), "invalid status 'lost'"),
        (("list", "--limit", "1000"), "1000 is not in the range 1<=x<=100"),
        (("revoke", "nope"), "API key not found"),
    ],
)
def test_a_mistake_is_one_sentence(service: Replica, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code != 0
    assert said in done.output
    assert "Traceback" not in done.output


def test_asking_makes_no_database(url: str, tmp_path: Path) -> None:
    done = run("list")
    assert done.exit_code == 1
    assert f"there is no database {tmp_path / 'keys.db'}" in done.output
    assert "maas-api migrate" in done.output
    checked = CliRunner().invoke(main, ["migrate", "--check"])
    assert checked.exit_code == 1
    assert checked.output.startswith("due: 0001")
    assert list(tmp_path.iterdir()) == []
    assert CliRunner().invoke(main, ["migrate"]).exit_code == 0
    assert CliRunner().invoke(main, ["migrate", "--check"]).output == "up to date\n"


def test_a_store_that_was_never_migrated_is_not_written_to(url: str, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "keys.db").close()
    done = run("list")
    assert done.exit_code == 1
    assert "run maas-api migrate" in done.output


def test_revoking_again_says_that_it_is_done_and_shows_the_key(service: Replica) -> None:
    made = created()
    assert run("revoke", str(made["id"])).exit_code == 0
    again = run("revoke", str(made["id"]))
    assert again.exit_code == 0
    assert again.stderr.splitlines()[-1] == "nothing to revoke: the key is revoked already"
    assert again.stdout == run("show", str(made["id"])).stdout


def test_on_a_terminal_there_is_the_answer_and_no_log_line(service: Replica) -> None:
    """The audit record is for whoever collects a job's lines; there it is."""
    made = created()
    for watched in (True, False):
        script = "import sys; from maas_api.cli import main; main()"
        command = [sys.executable, "-c", script, "keys", "rotate", str(made["id"]), "--output", "json"]
        parent, child = pty.openpty()
        os.set_blocking(parent, False)
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=child if watched else subprocess.PIPE, cwd=ROOT
        ) as done:
            out, err = done.communicate(timeout=60)
        os.close(child)
        said = (_all(parent) if watched else err).decode()
        os.close(parent)
        assert json.loads(out)["id"] == made["id"]
        assert ("AUDIT" in said) is not watched, said


def _all(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except (BlockingIOError, OSError):  # nothing was written; Linux says EIO once the other end is closed
        return b""


def test_a_budget_is_given_changed_and_taken_away(service: Replica) -> None:
    made = created("--budget", "1000 tokens/day, 5000 tokens total")
    assert service.check(str(made["key"])).budgets == (Budget(1000, "day"), Budget(5000, "total"))
    shown = run("budget", str(made["id"]), "2000 tokens/hour")
    assert "2000 tokens/hour" in shown.stdout
    assert service.check(str(made["key"])).budgets == (Budget(2000, "hour"),)
    assert run("budget", str(made["id"]), "none").exit_code == 0
    assert service.check(str(made["key"])).budgets == ()
    wrong = run("budget", str(made["id"]), "much")
    assert wrong.exit_code == 2
    assert "must be such as '100000 tokens/day'" in wrong.output
