"""The shared secret of /internal: read again, two at once while it is exchanged, white space pointed out."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from maas_api.edge.guard import InternalGuard
from maas_api.edge.secret import FOR_USAGE, SecretError, SecretFile, secrets_in

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


def test_a_secret_for_usage_alone_opens_nothing_else(tmp_path: Path) -> None:
    """A collector that posts usage needs no right to ask about keys, and those who ask need no secret for its sake."""
    usage = "/internal/v1/usage"

    def passes(path: str, shown: str) -> bool:
        lines = [(b"x-forwarded-for", b"10.0.0.1")] if path == usage else []
        return guard.refuse(path, [*lines, (b"x-maas-internal-secret", shown.encode())]) is None

    file = tmp_path / "usage"
    file.write_text("for-usage")
    guard = InternalGuard()
    assert not passes(usage, "")
    SecretFile(file, guard.accept_for_usage, option=FOR_USAGE)
    assert (passes(usage, "for-usage"), passes(usage, ""), passes(usage, "other")) == (True, False, False)
    assert passes(PATH, "")
    guard.accept((b"shared",))
    assert (passes(PATH, "for-usage"), passes(PATH, "shared")) == (False, True)
    assert (passes(usage, "for-usage"), passes(usage, "shared")) == (True, True)
    file.write_text("")
    with pytest.raises(SecretError, match="USAGE_SECRET_FILE"):
        SecretFile(file, guard.accept_for_usage, option=FOR_USAGE)
