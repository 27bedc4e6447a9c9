"""What comes in as a file is judged line by line; another gateway's keys are let in, and nothing is made of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from maas_api.errors import ApiError
from tests.support.moving import Store, count, exported, run
from tests.support.replicas import ANN, replicas


class TestBadFiles:
    """Named by line, field and rule; nothing of the file is taken in."""

    @pytest.fixture
    def lines(self, new_store: Store, tmp_path: Path) -> tuple[str, list[dict[str, Any]]]:
        url = new_store()
        with replicas(url) as (worker,):
            for _ in range(3):
                worker.mint()
        return new_store(), exported(url, tmp_path / "good")

    @pytest.mark.parametrize(
        ("field", "value", "says"),
        [
            ("hash", "A" * 64, "hash: must be a SHA-256 as 64 lower-case hex digits"),
            ("hash", None, "hash: must be a SHA-256"),
            ("id", "a b", "id: must be letters, digits"),
            ("username", " ", "username: must be text that is not blank"),
            ("status", "new", "status: must be one of active, revoked, expired, got"),
            ("groups", "team", "groups: must be a list of texts"),
            ("labels", {"maas-api:limits": "models"}, "labels: must be an object of texts, without maas-api:limits"),
            ("expiresAt", "tomorrow", "expiresAt: must be a time with an offset"),
            ("expiresAt", "2026-11-30", "expiresAt: must be a time with an offset"),
            ("createdAt", None, "createdAt: must be a time"),
            ("budget", [{"tokens": 1}], "budget: must be an object"),
            ("models", [7], "models: must be text"),
            ("spent", [{"per": "day"}], "spent: each must have per"),
            ("bound", 1, "bound: must be true or false"),
            ("ephemeral", "yes", "ephemeral: must be true or false"),
            ("secret", "x", "secret: is no field of a key; known are"),
        ],
    )
    def test_a_bad_line_is_named_and_none_is_taken_in(
        self, lines: tuple[str, list[dict[str, Any]]], field: str, value: Any, says: str
    ) -> None:
        url, (head, one, two, three, end) = lines
        bad = [head, one, two | {field: value}, three, end]
        text = "".join(json.dumps(line) + "\n" for line in bad)
        done = run(url, "import", "-", text=text)
        assert (done.exit_code, f"line 3: {says}" in done.stderr) == (1, True), done.output
        assert "1  bad lines" in done.stdout
        assert "nothing is changed" in done.stdout
        assert count(url, "api_keys") == 0
        skipped = run(url, "import", "-", "--skip-bad", text=text)
        assert (skipped.exit_code, count(url, "api_keys")) == (1, 2)

    def test_two_lines_with_one_id_or_one_secret_are_refused(self, lines: tuple[str, list[dict[str, Any]]]) -> None:
        url, (head, one, two, three, end) = lines
        for field in ("id", "hash"):
            text = "".join(json.dumps(line) + "\n" for line in (head, one, two, three | {field: one[field]}, end))
            done = run(url, "import", "-", text=text)
            assert (done.exit_code, f"line 4: {field}: is that of line 2 too" in done.stderr) == (1, True)

    def test_a_secret_that_another_key_has_here_is_refused(self, lines: tuple[str, list[dict[str, Any]]]) -> None:
        url, (head, one, *_) = lines
        for key_id, code in ((one["id"], 0), ("another-one", 1)):
            text = "".join(json.dumps(line) + "\n" for line in (head, one | {"id": key_id}, {"end": 1}))
            done = run(url, "import", "-", text=text)
            assert done.exit_code == code, done.output
        assert "line 2: hash: is that of another key here" in done.stderr

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda all_: all_[1:], "line 1: must be the header of an export"),
            (lambda all_: all_[:-1], "without its last line (end): it is not whole"),
            (lambda all_: [*all_[:2], *all_[3:]], "end: must be the last line and say 2"),
            (lambda all_: [*all_, all_[1]], "end: must be the last line"),
            (lambda all_: [all_[0] | {"version": 2}, *all_[1:]], "version: must be 1, got 2"),
            (
                lambda all_: [all_[0] | {"tenant": "other"}, *all_[1:]],
                'tenant: the file is of "other", this store\'s is',
            ),
            (lambda all_: [all_[0] | {"hashes": False}, *all_[1:]], "export with --hashes"),
            (lambda all_: [], "line 1: must be the header"),
        ],
        ids=["no header", "cut", "a line less", "a line more", "newer", "another tenant", "without hashes", "empty"],
    )
    def test_a_file_that_is_not_whole_or_not_for_here_is_refused(
        self, lines: tuple[str, list[dict[str, Any]]], change: Callable[[list[Any]], list[Any]], says: str
    ) -> None:
        url, good = lines
        done = run(url, "import", "-", text="".join(json.dumps(line) + "\n" for line in change(good)))
        assert (done.exit_code, says in done.output) == (1, True), done.output
        assert count(url, "api_keys") == 0


class TestAnotherGateway:
    """Its keys by their SHA-256: good until they expire, and nothing else can be made of them."""

    OLD = "sk-1a2B3c_D4-e5F6g7H8"

    def line(self, key: str = OLD, **fields: Any) -> str:
        said = {
            "hash": hashlib.sha256(key.encode()).hexdigest(),
            "username": "ann",
            "groups": ["team"],
            "subscription": "gold",
            "expiresAt": (datetime.now(UTC) + timedelta(days=30)).isoformat(),
        }
        return json.dumps(said | fields) + "\n"

    def spelled(self, key: str) -> str:
        return "sk-oai-was_" + key.encode().hex()

    def test_its_holder_writes_it_in_this_shape_and_is_let_in(self, new_store: Store) -> None:
        url = new_store()
        text = self.line(models=["gpt-4o"], name="old")
        done = run(url, "import", "--sha256", "-", text=text)
        assert (done.exit_code, "1  new" in done.stdout) == (0, True), done.output
        assert "1  here already" in run(url, "import", "--sha256", "-", text=text).stdout
        with replicas(url) as (worker,):
            verdict = worker.check(self.spelled(self.OLD))
            assert (verdict.valid, verdict.username, verdict.groups, verdict.models, verdict.subscription) == (
                True, "ann", ("team",), ("gpt-4o",), "gold",
            )  # fmt: skip
            for other in (self.OLD, "sk-oai-" + self.OLD, self.spelled(self.OLD + "x"), self.spelled(self.OLD).upper()):
                assert not worker.check(other).valid
            worker.service.revoke(ANN, verdict.key_id)
            assert not worker.check(self.spelled(self.OLD)).valid
        assert "1  here otherwise" in run(url, "import", "--sha256", "-", text=text).stdout, "it is not opened again"

    def test_it_is_neither_rotated_nor_changed_nor_mints(self, new_store: Store, tmp_path: Path) -> None:
        url, there = new_store(), new_store()
        run(url, "import", "--sha256", "-", text=self.line())
        exported(url, tmp_path / "on")
        run(there, "import", str(tmp_path / "on"))
        for store in (url, there):
            with replicas(store) as (worker,):
                verdict = worker.check(self.spelled(self.OLD))
                assert verdict.valid
                key_id = verdict.key_id
                with pytest.raises(ApiError) as refusal:
                    worker.service.rotate(ANN, key_id, grace_seconds=0, idempotency_key=None)
                assert refusal.value.status == 409
                with pytest.raises(ApiError) as refusal:
                    worker.mint(by=self.spelled(self.OLD))
                assert refusal.value.status == 403
                assert "imported from another gateway" in run(store, "budget", key_id, "none").output
                assert "imported from another gateway" in run(store, "rotate", key_id).output

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"expiresAt": None}, "expiresAt: must be a time within 90 days"),
            ({"expiresAt": "2090-01-01T00:00:00Z"}, "expiresAt: must be a time within 90 days"),
            ({"groups": []}, "groups must have a name"),
            ({"groups": ["a,b", "c"]}, "groups: no gateway can carry"),
            ({"models": ["a b"]}, "models entry"),
            ({"subscription": ""}, "subscription: must be text that is not blank"),
            ({"budget": {"tokens": 0, "per": "day"}}, "budget"),
            ({"id": "x"}, "id: is no field of a key"),
            ({"status": "active"}, "status: is no field"),
        ],
        ids=lambda value: str(value)[:30],
    )
    def test_nothing_comes_in_that_could_not_be_minted(self, new_store: Store, fields: Any, says: str) -> None:
        done = run(new_store(), "import", "--sha256", "-", text=self.line() + self.line("sk-other", **fields))
        assert (done.exit_code, f"line 2: {says}" in done.stderr) == (1, True), done.output
        assert "nothing is changed" in done.stdout

    def test_a_hash_is_never_said(self, new_store: Store) -> None:
        url = new_store()
        text = self.line() + self.line() + self.line(hash="f" * 63 + "g")
        done = run(url, "import", "--sha256", "-", text=text)
        assert done.exit_code == 1
        assert "line 2: id: is that of line 1 too" in done.stderr
        assert not any(json.loads(line)["hash"] in done.output for line in text.splitlines())
