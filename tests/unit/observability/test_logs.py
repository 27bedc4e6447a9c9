"""Log lines: the promised keys, no secret by any way in, nothing forged."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from maas_api.observability import logs
from maas_api.observability.redaction import Redactor
from maas_api.observability.requests import CONTEXT, Context

KEY = "sk-oai-abcdefghijklmnop_" + "Zz9" * 15
HASH = "ab12" * 16
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Configured logging writing to memory; put back afterwards."""
    root = logging.getLogger()
    kept = root.handlers[:], root.level, sys.excepthook, threading.excepthook
    stream = io.StringIO()
    logs.configure("json", "info", stream, Redactor())
    yield stream
    logging.captureWarnings(False)
    root.handlers[:], root.level, sys.excepthook, threading.excepthook = kept


def only(stream: io.StringIO) -> dict[str, Any]:
    (line,) = stream.getvalue().splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_a_line_has_the_go_service_s_keys_and_the_fields_given(lines: io.StringIO) -> None:
    logging.getLogger("maas_api.x").warning("pool is %s", "full", extra={"in_use": 25})
    line = only(lines)
    assert list(line)[:4] == ["level", "timestamp", "caller", "message"]
    assert line["level"] == "warn"
    assert line["message"] == "pool is full"
    assert line["in_use"] == 25
    assert line["caller"].startswith("observability/test_logs.py:")
    assert line["timestamp"].endswith("Z")


def _raise() -> None:
    raise RuntimeError(f"failed for Bearer {KEY}") from ValueError(HASH)


def _log_exception() -> None:
    try:
        _raise()
    except RuntimeError:
        logging.getLogger("x").exception("while answering")


WAYS = {
    "message": lambda: logging.getLogger("x").info("got " + KEY),
    "arguments": lambda: logging.getLogger("x").info("got %s and %r", KEY, {"h": HASH}),
    "bytes": lambda: logging.getLogger("x").info("got %r", KEY.encode()),
    "extra": lambda: logging.getLogger("x").info("got", extra={"headers": [("a", KEY)], "deep": {"a": [HASH]}}),
    "extra's name": lambda: logging.getLogger("x").info("got", extra={"x": {KEY: 1}}),
    "exception": _log_exception,
    "object": lambda: logging.getLogger("x").info("got", extra={"fault": ValueError(KEY)}),
    "uncaught": lambda: sys.excepthook(ValueError, ValueError(KEY), None),
}


@pytest.mark.parametrize("way", WAYS)
def test_no_secret_gets_out(lines: io.StringIO, way: str) -> None:
    WAYS[way]()
    said = lines.getvalue()
    assert json.loads(said.splitlines()[0])["level"]
    assert "Zz9Zz9" not in said
    assert HASH not in said


def test_a_wrong_format_string_loses_neither_the_line_nor_the_secret() -> None:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "got %s %s", (KEY,), None)
    line = json.loads(logs.JsonFormatter(Redactor()).format(record))
    assert line["message"].startswith("got %s %s")
    assert "Zz9" not in line["message"]


def test_exceptions_of_threads_become_lines(lines: io.StringIO) -> None:
    thread = threading.Thread(target=_raise)
    thread.start()
    thread.join()
    line = only(lines)
    assert line["message"] == "uncaught exception"
    assert "RuntimeError" in line["stacktrace"]
    assert "Zz9" not in line["stacktrace"]


def test_a_line_s_own_keys_cannot_be_replaced(lines: io.StringIO) -> None:
    logging.getLogger("x").info("real", extra={"level": "forged", "timestamp": "forged"})
    line = only(lines)
    assert (line["level"], line["level_"], line["timestamp_"]) == ("info", "forged", "forged")


def test_lines_carry_the_request_they_belong_to(lines: io.StringIO) -> None:
    parent = f"00-{TRACE}-00f067aa0ba902b7-01".encode()
    token = CONTEXT.set(Context(b"req-1", [(b"traceparent", parent)]))
    logging.getLogger("x").info("looked up")
    CONTEXT.reset(token)
    assert (only(lines)["request_id"], only(lines)["trace_id"]) == ("req-1", TRACE)


def test_usernames_are_hashed_the_same_way_within_a_process() -> None:
    assert logs.user_hash("alice") == logs.user_hash("alice") != logs.user_hash("bob")
    assert logs.user_hash("alice").startswith("sha256:")
    assert len(logs.user_hash("alice")) == len("sha256:") + 12
    assert logs.user_hash("  ") == "<empty>"
    assert logs.user_hash("\ud800")


def test_text_for_a_terminal_is_one_readable_line(lines: io.StringIO) -> None:
    stream = io.StringIO()
    logs.configure("text", "info", stream, Redactor())
    logging.getLogger("x").info("hello\nlevel=error \x1b[2J", extra={"path": "/a b", "key": KEY, "n": 1})
    said = stream.getvalue()
    assert said.count("\n") == 1
    assert "\x1b" not in said
    assert "INFO" in said
    assert 'path="/a b"' in said
    assert "Zz9" not in said


def test_libraries_that_print_values_stay_quiet_at_debug(lines: io.StringIO) -> None:
    logs.configure("json", "debug", lines, Redactor())
    logging.getLogger("sqlalchemy.engine").info("SELECT %s", "secret")
    logging.getLogger("maas_api.keys").debug("ours")
    assert only(lines)["message"] == "ours"
