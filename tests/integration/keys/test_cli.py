"""``maas-api keys`` against a store that a service is using."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from maas_api import migrations
from maas_api.cli import main
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
    ],
)
def test_a_mistake_is_one_sentence(service: Replica, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.exit_code != 0
    assert said in done.output
    assert "Traceback" not in done.output


def test_a_store_that_was_never_migrated_is_not_written_to(url: str) -> None:
    done = run("list")
    assert done.exit_code == 1
    assert "run maas-api migrate" in done.output
