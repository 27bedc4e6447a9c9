"""openapi.yaml is fit for what people make of it: linters are content, and generated clients compile and work."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.process import ROOT, Running, running

HERE = Path(__file__).parent
SPEC = ROOT / "openapi.yaml"
BIN = Path(sys.executable).parent
TOOLS = ROOT / ".tools" / "generators"
"""Where ``make generators`` puts what package-lock.json lists."""
MODEL = "facebook/opt-125m"

node = pytest.mark.skipif(
    not (TOOLS / "node_modules" / ".package-lock.json").exists() or not (BIN / "node").exists(),
    reason="needs Node's linter and generator: make generators",
)
pytestmark = [pytest.mark.timeout(300), pytest.mark.xdist_group("generators")]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("service"), "--workers", "1", "--admin-groups", "maas-admins") as made:
        yield made


def run(*command: str | Path, within: Path) -> str:
    """A program's output; what it said where it fails."""
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    environ |= {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=within,
        env=environ | {"PATH": f"{BIN}:{environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def tool(name: str) -> tuple[Path, Path]:
    """The command line of a program of Node's."""
    return BIN / "node", TOOLS / "node_modules" / ".bin" / name


def lived_through(service: Running, outcome: dict[str, Any]) -> None:
    """What the story must have come to, as the client tells it and as the service answers now."""
    assert outcome.pop("key").startswith("sk-oai-")
    sentence = (
        "requested expiration (239976h0m0s) exceeds maximum allowed (90 days): expiration exceeds maximum allowed"
    )
    assert outcome == {
        "found": ["generated"],
        "status": "active",
        "own": "generated",
        "models": True,
        "model": MODEL,
        "user": "alice",
        "requests": 0,
        "rotated": True,
        "budget": ["12.5"],
        "counted": 1,
        "revoked": "revoked",
        "refused": [400, None, sentence],
        "nobody": [401, "001"],
    }


@node
def test_redocly_s_recommended_rules_find_nothing(tmp_path: Path) -> None:
    text = run(*tool("redocly"), "lint", "--extends=recommended", "--format=json", SPEC, within=tmp_path)
    found = json.loads(text)
    assert found["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}, text


def test_a_generated_python_client_compiles_and_works(service: Running, tmp_path: Path) -> None:
    config = tmp_path / "config.yml"
    config.write_text(
        "package_name_override: maas_client\n"
        "content_type_overrides: {application/x-protobuf: application/octet-stream}\n"
        "post_hooks: []\n"
    )
    made = tmp_path / "made"
    options = ("--path", SPEC, "--config", config, "--meta", "none", "--output-path", made / "maas_client")
    run(BIN / "openapi-python-client", "generate", *options, "--fail-on-warning", within=tmp_path)
    shutil.copy(HERE / "story.py", made)
    checks = ("--strict", "--follow-imports", "silent", "--cache-dir", tmp_path / "mypy", "--config-file", os.devnull)
    run(sys.executable, "-m", "compileall", "-q", "maas_client", within=made)
    run(sys.executable, "-m", "mypy", *checks, "story.py", within=made)
    lived_through(service, json.loads(run(sys.executable, "story.py", service.url, MODEL, within=made)))


@node
def test_a_generated_typescript_client_compiles_and_works(service: Running, tmp_path: Path) -> None:
    options = ("--default-non-nullable", "false", "--output", tmp_path / "schema.d.ts")
    run(*tool("openapi-typescript"), SPEC, *options, within=tmp_path)
    for name in ("story.ts", "tsconfig.json", "package.json"):
        shutil.copy(HERE / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(TOOLS / "node_modules")
    run(*tool("tsc"), "--project", tmp_path, within=tmp_path)
    lived_through(service, json.loads(run(BIN / "node", "story.ts", service.url, MODEL, within=tmp_path)))


def test_the_lock_is_of_the_packages_that_are_asked_for() -> None:
    asked = json.loads((HERE / "package.json").read_text())["devDependencies"]
    locked = json.loads((HERE / "package-lock.json").read_text())["packages"]
    assert locked[""]["devDependencies"] == asked
    assert {name: locked[f"node_modules/{name}"]["version"] for name in asked} == asked
    assert all(entry.get("integrity") or name == "" for name, entry in locked.items())
