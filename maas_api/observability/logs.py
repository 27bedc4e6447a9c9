"""Log lines: one JSON object each on standard output, or readable text where a person is watching.

Keys are those of the Go service: ``level``, ``timestamp``, ``caller``, ``message``, then whatever ``extra={...}``
gave. Every line passes the redactor last, so no call site can forget it. Usernames are logged as a keyed hash that
is the same within a process and means nothing outside it.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
import logging
import os
import sys
import threading
from types import TracebackType
from typing import Any, TextIO

from maas_api.observability.redaction import REDACTOR, Redactor
from maas_api.observability.requests import CONTEXT

_LEVELS = {"WARNING": "warn", "CRITICAL": "fatal"}
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_RESERVED = frozenset({"level", "timestamp", "caller", "message", "stacktrace"})
_SALT = os.urandom(32)
_COLOURS = {"error": "\x1b[31m", "fatal": "\x1b[31m", "warn": "\x1b[33m", "debug": "\x1b[2m"}


def user_hash(username: str) -> str:
    """A username for a log line: ``sha256:`` and 12 characters, stable within this process only."""
    if not username.strip():
        return "<empty>"
    digest = hmac.new(_SALT, username.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    return "sha256:" + base64.urlsafe_b64encode(digest)[:12].decode()


def _caller(record: logging.LogRecord) -> str:
    folder, _, file = record.pathname.replace("\\", "/").rpartition("/")
    return f"{folder.rpartition('/')[2]}/{file}:{record.lineno}"


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.datetime.fromtimestamp(record.created, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _Formatter(logging.Formatter):
    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        level = record.levelname
        fields: dict[str, Any] = {
            "level": _LEVELS.get(level, level.lower()),
            "timestamp": _timestamp(record),
            "caller": _caller(record),
            "message": self._redactor.text(_message(record)),
        }
        context = CONTEXT.get()
        if context is not None:
            fields["request_id"] = context.request_id
            if trace := context.trace_id:
                fields["trace_id"] = trace
        for name, value in vars(record).items():
            if name in _STANDARD or name.startswith("_"):
                continue
            fields[f"{name}_" if name in _RESERVED else name] = self._redactor.value(value, name)
        if record.exc_info and record.exc_info[0] is not None:
            fields["stacktrace"] = self._redactor.text(self.formatException(record.exc_info))
        elif record.stack_info:
            fields["stacktrace"] = self._redactor.text(record.stack_info)
        return fields


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # a wrong format string must not lose the line
        return f"{record.msg} {record.args}"


class JsonFormatter(_Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line = json.dumps(self._fields(record), separators=(",", ":"), ensure_ascii=False, default=str)
        return self._redactor.text(line)


class TextFormatter(_Formatter):
    """Time, level, message and fields, for a terminal."""

    def __init__(self, redactor: Redactor, *, colour: bool) -> None:
        super().__init__(redactor)
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """The line, and under it the traceback where there is one."""
        fields = self._fields(record)
        level, stamp, message = fields.pop("level"), fields.pop("timestamp"), fields.pop("message")
        fields.pop("caller")
        trace = fields.pop("stacktrace", None)
        told = " ".join(
            f"{name}={value if isinstance(value, str) and ' ' not in value else json.dumps(value, default=str)}"
            for name, value in fields.items()
        )
        line = f"{stamp[11:23]} {level.upper():<5} {_one_line(message)}" + (f"  {_one_line(told)}" if told else "")
        if self._colour and level in _COLOURS:
            line = f"{_COLOURS[level]}{line}\x1b[0m"
        return self._redactor.text(line if trace is None else f"{line}\n{trace}")


def _one_line(text: str) -> str:
    """Control characters made visible: what a caller sends must not forge a line or drive a terminal."""
    return "".join(char if char.isprintable() or char == " " else repr(char)[1:-1] for char in text)


def configure(style: str, level: str, stream: TextIO | None = None, redactor: Redactor = REDACTOR) -> None:
    """Send every logger's lines to one stream (default: standard output).

    ``style`` is json, text, or auto (text on a terminal); ``level`` a level's name. Warnings of Python and exceptions
    nobody caught become log lines too. Called once per process, before anything is logged.
    """
    out = sys.stdout if stream is None else stream
    terminal = bool(getattr(out, "isatty", lambda: False)())
    text = style == "text" or (style == "auto" and terminal)
    handler = logging.StreamHandler(out)
    colour = terminal and "NO_COLOR" not in os.environ
    handler.setFormatter(TextFormatter(redactor, colour=colour) if text else JsonFormatter(redactor))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("urllib3", "kubernetes", "asyncio", "opentelemetry", "sqlalchemy.engine", "alembic"):
        # At debug these print requests and statements with their values. Our own debug lines do not.
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _uncaught(kind: type[BaseException], value: BaseException | None, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    fault = value if value is not None else kind()
    logging.getLogger("maas_api").error("uncaught exception", exc_info=(kind, fault, trace))
