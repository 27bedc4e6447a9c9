"""The command line of the demo: explained, strict about options, silent about keys."""

from __future__ import annotations

import importlib
import secrets
import sys

import pytest
from click.testing import CliRunner

from maas_api.cli import main

command = importlib.import_module("maas_api.cli.demo")  # the package's attribute of that name is the command


def test_the_help_explains_every_option_and_exit_code() -> None:
    text = CliRunner().invoke(main, ["demo", "--help"]).output
    for option in ("--keep", "--port", "--real", "--output", "--quiet", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        assert option in text
    assert "Exit code 0: every line is PASS" in " ".join(text.split())


@pytest.mark.parametrize("arguments", [["--port", "70000"], ["--port", "web"], ["--output", "xml"], ["--nothing"]])
def test_a_wrong_option_is_refused_before_anything_starts(arguments: list[str]) -> None:
    done = CliRunner().invoke(main, ["demo", *arguments])
    assert done.exit_code == 2
    assert arguments[0] in done.output


def test_a_missing_optional_part_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("maas_api.demo")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "trustme", None)
    done = CliRunner().invoke(main, ["demo"])
    assert done.exit_code == 1
    assert "trustme is not installed: in the checkout, pip install '.[demo]'" in done.output


def test_real_calls_go_only_to_providers_whose_key_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    key = secrets.token_urlsafe(12)
    monkeypatch.setenv("OPENAI_API_KEY", key)
    monkeypatch.setenv("ANTHROPIC_API_KEY", " ")
    said: list[str] = []
    assert command.real_keys(said.append) == {"openai": key}
    assert said == ["openai: called for real", "anthropic: simulated, ANTHROPIC_API_KEY is not set"]
