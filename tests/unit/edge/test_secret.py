"""The shared secret of /internal: read again, two at once while it is exchanged, white space pointed out."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from maas_api.edge.guard import InternalGuard
from maas_api.edge.secret import SecretError, SecretFile, secrets_in

PATH = "/internal/v1/api-keys/validate"


def opens(guard: InternalGuard, *shown: str) -> list[bool]:
    return [guard.refuse(PATH, [(b"x-maas-internal-secret", value.encode())]) is None for value in shown]


def test_a_secret_is_exchanged_without_a_moment_in_which_somebody_is_refused(tmp_path: Path) -> None:
    """The service takes both, then those who show it change over, then the service forgets the old one."""
    file = tmp_path / "secret"
    file.write_text("old-secret")
    guard = InternalGuard()
    watched = SecretFile(file, guard.accept)
    assert opens(guard, "old-secret", "new-secret", "") == [True, False, False]
    file.write_text("new-secret\nold-secret")
    watched.check()
    assert opens(guard, "old-secret", "new-secret", "") == [True, True, False]
    assert secrets_in(file)[0] == "new-secret", "what this project's own callers show"
    file.write_text("new-secret")
    watched.check()
    assert opens(guard, "old-secret", "new-secret", "") == [False, True, False]


@pytest.mark.parametrize("text", ["", " \n", "a\nb\nc", "é", "a\tb"])
def test_a_file_that_cannot_be_used_is_refused_at_start_and_changes_nothing_later(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "secret"
    file.write_text(text)
    with pytest.raises(SecretError, match=r"--internal-secret-file .* (is empty|must hold)"):
        SecretFile(file, InternalGuard().accept)
    file.write_text("knock")
    guard = InternalGuard()
    watched = SecretFile(file, guard.accept)
    file.write_text(text)
    watched.check()
    watched.check()
    assert opens(guard, "knock", "") == [True, False]
    assert len([record for record in caplog.records if "stays" in record.getMessage()]) == 1
    file.unlink()
    watched.check()
    assert opens(guard, "knock") == [True]


@pytest.mark.parametrize(
    ("text", "said"), [("knock", False), ("a\nb", False), ("knock\n", True), (" knock", True), ("a\n\nb", True)]
)
def test_white_space_is_pointed_out_because_authorino_would_send_it(
    tmp_path: Path, text: str, said: bool, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "secret"
    file.write_text(text)
    with caplog.at_level(logging.WARNING):
        found = secrets_in(file)
    assert ("white space" in caplog.text) is said
    assert not any(secret in caplog.text for secret in found if len(secret) > 1)
