"""The harness behind ``make clients`` judges rightly, and every program's file says what it must. Installs nothing."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from maas_api.demo.simulators.model_server import model_server
from maas_api.demo.simulators.server import Received, Simulator, Whole
from tests.clients.install import InstallError, Place
from tests.clients.program import COLUMNS, PROGRAMS, Program, ProgramError, every, load
from tests.clients.report import Row, failures, line, markdown
from tests.clients.running import BASES, Stand, try_column
from tests.clients.tap import Exchange
from tests.clients.verdict import Cell, Run, judge

MODEL = "m"
EXAMPLE = """
title = "urllib"
runtime = "python"
dialect = "openai"
model = "m"
set = ["BASE=$MAAS_URL/v1"]
seconds = 20
prelude = '''
import json, os, urllib.request

def call(path, body=None):
    request = urllib.request.Request(os.environ["BASE"] + path, json.dumps(body).encode() if body else None,
                                     {"Authorization": "Bearer " + os.environ["KEY"]})
    return json.load(urllib.request.urlopen(request))

def chat(**more):
    body = {"model": os.environ["MODEL"], "messages": [{"role": "user", "content": "Hello"}], **more}
    return call("/chat/completions", body)["choices"][0]["message"]["content"]

'''

[env]
BASE = "$openai"
KEY = "$key"

[columns]
chat = "print(chat())"
stream = "print('Hello!')"
structured = '''
properties = {"city": {"type": "string"}, "population": {"type": "integer"}}
schema = {"type": "object", "properties": properties, "required": list(properties)}
print(chat(response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}))
'''
list = "call('/nothing')"
retrieve = "raise RuntimeError(os.environ['HOME'] + ' ' + ' '.join(sorted(os.environ)))"

[unsupported]
tools = "it has none"
"""


@pytest.fixture
def example(tmp_path: Path) -> Program:
    path = tmp_path / "urllib.toml"
    path.write_text(EXAMPLE)
    return load(path)


class Here(Place):
    """Nothing is installed: the interpreter that runs the tests."""

    def folder(self, program: Program) -> Path:
        return Path(sys.prefix)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Here(tmp_path / "cache", Path(sys.prefix) / "bin" / "uv", Path(sys.executable))


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    """A model's server with a lock of its own, in the place of the gateway."""
    monkeypatch.setenv("OPENAI_API_KEY", "not-for-programs")
    served = model_server(MODEL)
    reached: list[str] = []

    def guarded(request: Received) -> Whole:
        if request.header("authorization") != "Bearer good":
            return Whole(401, {"error": {"message": "The API key is not accepted", "type": "authentication_error"}})
        if request.path == "/v1/nothing":
            return Whole(404, {})
        reached.append(request.path)
        answer = served(request)
        assert isinstance(answer, Whole)
        return Whole(200, _hello(answer)) if b"json_schema" not in request.body else answer

    with Simulator("gateway", guarded) as server:
        yield Stand(server.port, "good", lambda: len(reached))


def _hello(answer: Whole) -> dict[str, object]:
    choice = dict(answer.body["choices"][0])
    return {**answer.body, "choices": [{**choice, "message": {"role": "assistant", "content": "Hello! It's me."}}]}


def test_a_program_is_run_and_each_failure_is_given_to_whom_it_belongs(
    example: Program, stand: Stand, place: Place
) -> None:
    cells = {column: try_column(example, column, BASES["root"], stand, place) for column in COLUMNS}
    states = {column: cell.state for column, cell in cells.items()}
    assert states == {
        "chat": "PASS",
        "stream": "FAIL",
        "tools": "–",
        "structured": "PASS",
        "list": "FAIL",
        "retrieve": "FAIL",
        "bad key": "PASS",
    }
    assert cells["stream"] == Cell("FAIL", "urllib: it sent no request", "Hello! (no answer was an event stream)")
    assert cells["list"].fault == "gateway: GET /v1/nothing was answered 404"
    assert "HTTP Error 404" in cells["list"].line
    assert cells["tools"].line == "it has none"


def test_a_program_inherits_only_what_it_is_told_to_set(example: Program, stand: Stand, place: Place) -> None:
    said = try_column(example, "retrieve", BASES["root"], stand, place).line
    assert os.environ["HOME"] + " " not in said
    names = set(re.findall(r"\b[A-Za-z_]{3,}\b", said))
    assert {"BASE", "KEY", "MODEL", "HTTPS_PROXY"} <= names
    assert "OPENAI_API_KEY" not in names


def test_a_program_that_does_not_end_is_ended(example: Program, stand: Stand, place: Place) -> None:
    slow = example._replace(columns={**example.columns, "chat": "import time; time.sleep(600)"}, seconds=1)
    cell = try_column(slow, "chat", BASES["root"], stand, place)
    assert (cell.state, cell.line) == ("FAIL", "not ended after 1 s")


def test_a_bad_key_that_opens_a_model_fails(example: Program) -> None:
    told = Run(1, "", "Error code: 401", [], reached=0)
    assert judge(example, "bad key", told).state == "PASS"
    assert judge(example, "bad key", told._replace(reached=1)).state == "FAIL"
    assert judge(example, "bad key", told._replace(errors="Error code: 500")).state == "FAIL"
    assert judge(example, "bad key", told._replace(output="Hello! 401")).state == "FAIL"


def test_a_stream_must_be_one_on_the_wire_and_come_in_pieces(example: Program) -> None:
    streamed = Run(0, "Hel\nlo!\n How\n", "", [Exchange("POST /v1/x", 200, streamed=True)], 1)
    assert judge(example, "stream", streamed).state == "PASS"
    assert judge(example, "stream", streamed._replace(output="Hello!")).state == "FAIL"
    assert judge(example, "stream", streamed._replace(exchanges=[Exchange("POST /v1/x", 200)])).state == "FAIL"


def test_what_a_programs_file_knows_of_itself_names_the_fault(example: Program) -> None:
    known = example._replace(known={"list": "it asks another host"})
    assert judge(known, "list", Run(1, "", "boom", [], 0)).fault == "urllib: it asks another host"


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ('title = "urllib"', "", "title: must be given"),
        ('title = "urllib"', 'title = "x"\nfoo = 1', "unknown \\['foo'\\]"),
        ('runtime = "python"', 'runtime = "ruby"', "runtime: 'ruby', accepted: python, node"),
        ('runtime = "python"', 'runtime = "python"\nscript = "perl"', "script: 'perl'"),
        ('runtime = "python"', 'runtime = "python"\ninstall = ["openai"]', "'openai' is not pinned"),
        ('dialect = "openai"', 'dialect = "grpc"', "dialect: 'grpc'"),
        ('tools = "it has none"', "", "neither a script nor a reason for \\['tools'\\]"),
        ("[columns]", "[columns]\ndance = ''", "columns: unknown \\['dance'\\]"),
        ("[columns]", "[columns", "urllib.toml: "),
    ],
)
def test_a_wrong_file_is_refused_by_field_and_rule(tmp_path: Path, old: str, new: str, rule: str) -> None:
    path = tmp_path / "urllib.toml"
    path.write_text(EXAMPLE.replace(old, new, 1))
    with pytest.raises(ProgramError, match=rule):
        load(path)


def test_every_program_has_a_file_that_can_be_read() -> None:
    titles = {program.title for program in every()}
    assert titles >= {"openai (Python)", "anthropic (Node)", "Claude Code", "Codex", "aider", "Vercel AI SDK"}
    assert len(titles) == len(list(PROGRAMS.glob("*.toml")))


def test_a_recorded_program_says_so_and_installs_nothing() -> None:
    assert all(not program.install for program in every() if program.recorded)
    assert all(program.install for program in every() if not program.recorded)


def test_the_document_names_every_program() -> None:
    text = (Path(__file__).parents[3] / "docs" / "clients.md").read_text()
    missing = [program.title for program in every() if f"| {program.title}" not in text]
    assert not missing, f"run make clients: {missing}"


def test_the_document_shows_marks_faults_reasons_and_settings(example: Program) -> None:
    cells = {column: Cell("PASS") for column in COLUMNS}
    cells |= {"list": Cell("FAIL", "gateway: said 404", "Error | 404"), "tools": Cell("–", line="it has none")}
    row, lost = Row(example, "root", cells), Row(example._replace(title="lost"), "root", {}, "no such version")
    text = markdown([row, lost], "2026-01-01")
    assert "| urllib | ✓ | ✓ | – | ✓ | ✗ | ✓ | ✓ |" in text
    assert "| root | urllib | list | gateway: said 404 | Error \\| 404 |" in text
    assert "| urllib | tools: it has none |" in text
    assert "not installed | no such version" in text
    assert "`BASE=$MAAS_URL/v1`" in text
    assert "FAIL" in line(row, 10)
    assert "no such version" in line(lost, 10)
    assert failures([row]) == ["root, urllib, list: gateway: said 404: Error | 404"]


def test_what_cannot_be_installed_is_told(example: Program, tmp_path: Path) -> None:
    place = Place(tmp_path, Path("/bin/false"), Path(sys.executable))
    with pytest.raises(InstallError, match="urllib: /bin/false venv"):
        place.install(example)
