"""What a column's output must show, and whose fault it is where it does not."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

import jsonschema

from tests.clients.program import Program
from tests.clients.tap import Exchange

SAID = "Hello!"
"""How the answers of the providers' models begin."""

SAID_LOCALLY = "To be"
"""How those of the local model begin."""

TOLD = "12 degrees in Oslo"
"""What the tool of every script answers. The model repeats it, so that its way back is seen."""

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "population": {"type": "integer"}},
    "required": ["city", "population"],
}

_REFUSED = re.compile(
    r"\b401\b|authenticat|unauthori[sz]ed|invalid[ _](api[ _])?key|api[ _]key.{0,40}not valid|login", re.I
)
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_TELLING = re.compile(r"\b\w*(?:Error|Exception|Fault)\b\W|\berror\b|\b[45]\d\d\b", re.I)


class Run(NamedTuple):
    """A script that has ended.

    ``code``: its exit code, None where it had to be stopped. ``reached``: requests that arrived at a model's server
    meanwhile. ``said``: how the model's answer begins.
    """

    code: int | None
    output: str
    errors: str
    exchanges: Sequence[Exchange]
    reached: int
    said: str = SAID


class Cell(NamedTuple):
    """One cell of the table: PASS, FAIL with the fault and a line of the error, or ``–`` with the reason."""

    state: str
    fault: str = ""
    line: str = ""


def judge(program: Program, column: str, run: Run) -> Cell:
    """The cell of a script that was run."""
    missing = _missing(program, column, run)
    if not missing:
        return Cell("PASS")
    line = first_line(run)
    return Cell("FAIL", whose(program, column, run), f"{line} ({missing})" if line else missing)


def _missing(program: Program, column: str, run: Run) -> str:
    """What the run did not show, or "" where it showed all."""
    if run.code is None:
        return f"not ended after {program.seconds:g} s"
    said = _COLOUR.sub("", run.output)
    if column == "bad key":
        if run.reached:
            return "a bad key reached a model's server"
        return "" if _REFUSED.search(said + run.errors) and run.said not in said else "no word of a refused key"
    if run.code:
        return f"exit code {run.code}"
    match column:
        case "chat":
            return "" if run.said in said else "the answer is not there"
        case "stream":
            pieces = said.splitlines()
            if not any(each.streamed for each in run.exchanges):
                return "no answer was an event stream"
            return "" if len(pieces) >= 2 and run.said in "".join(pieces) else "the answer did not come in pieces"
        case "tools":
            return "" if TOLD in said else "the tool's result did not come back"
        case "structured":
            return _unfit(said)
    return "" if program.model in said else f"{program.model} is not there"


def _unfit(said: str) -> str:
    try:
        jsonschema.validate(json.loads(said.strip().splitlines()[-1]), CITY)
    except (ValueError, IndexError):
        return "the last line is not JSON"
    except jsonschema.ValidationError as fault:
        return f"the value does not fit: {fault.message}"
    return ""


def whose(program: Program, column: str, run: Run) -> str:
    """Whose fault a failure is, judged by what passed on the wire, unless the program's file names its own."""
    if column in program.known:
        return f"{program.title}: {program.known[column]}"
    bad = [each for each in run.exchanges if each.status >= 400 or each.status == 0]
    if not run.exchanges:
        return f"{program.title}: it sent no request"
    if not bad:
        return f"{program.title}: every request was answered with success"
    last = bad[-1]
    answered = f"{last.request} was answered {last.status}" if last.status else f"{last.request} was not answered"
    return f"{'model server' if run.reached else 'gateway'}: {answered}"


def first_line(run: Run) -> str:
    """The line of the error that says most: the last one that names an error, else the last one at all."""
    lines = [_COLOUR.sub("", line).strip() for line in (run.errors + "\n" + run.output).splitlines()]
    lines = [line for line in lines if line and not line.startswith(("^", "~"))]
    telling = [line for line in lines if _TELLING.search(line) and not line.startswith(("File ", "at "))]
    found = (telling or lines)[-1:]
    return found[0][:220] if found else ""
