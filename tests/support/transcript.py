"""What a conversation was told to be, held against what it is; and where they part, both, with an arrow."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests.support.clockwork import Clockwork
from tests.support.wire import split_answer

Headers = Mapping[str, str | None]
_ROUNDING = 1e-6
_SHOWN = 200


class _Event(NamedTuple):
    at: float
    kind: str
    what: str
    data: bytes  # where bytes are sent


class Conversation:
    """One party's side of it. ``told`` takes the lines that have come true, of every party to the same clock."""

    def __init__(self, loop: Clockwork, told: list[str], name: str) -> None:
        self._loop, self._told, self._name = loop, told, name
        self._events: deque[_Event] = deque()
        self.last = ""
        self.parted = False

    def happens(self, kind: str, what: str = "") -> None:
        """Note what has gone out, other than bytes."""
        self._events.append(_Event(self._loop.time(), kind, what, b""))

    def wrote(self, data: bytes) -> None:
        """Note bytes that have gone out. Those that follow one another at a moment are one piece."""
        now = self._loop.time()
        if self._events and self._events[-1].data and self._events[-1].at == now:
            data = self._events.pop().data + data
        self._events.append(_Event(now, "sends", "", data))

    def arrives(self, line: str, act: Callable[..., object] | None = None, *what: Any, seconds: float = 0) -> None:
        """``act`` happens, and what is due in ``seconds``. Raises AssertionError where something was left untold."""
        __tracebackhide__ = True
        self.nothing_but(line)
        self.tell(">", line)
        try:
            self._loop.run(act, *what, seconds=seconds)
        except BaseException:
            self.parted = True
            raise

    def goes_out(self, kind: str, what: str = "", named: Headers | None = None) -> None:
        """Raises AssertionError where this is not what has gone out next, just now. ``named``: headers to look at."""
        __tracebackhide__ = True
        expected, happened = f"{kind} {what}".rstrip(), self._next(named or {})
        if happened != expected:
            raise AssertionError(self.report(expected, happened))
        self.tell("<", expected)

    def nothing_but(self, line: str) -> None:
        """Raises AssertionError where something has gone out that was not told."""
        __tracebackhide__ = True
        if self._events:
            raise AssertionError(self.report(line, self._next({})))

    def tell(self, arrow: str, line: str) -> None:
        """Note a line that has come true."""
        self.last = line
        self._told.append(self._line(arrow, line))

    def report(self, expected: str, happened: str) -> str:
        """The whole conversation so far, where it parts from the playbook, and what went on instead."""
        self.parted = True
        lines = [f"    {line}" for line in self._told]
        lines.append(f"--> {self._line('?', expected)}")
        lines.append(f"    {self._line('!', happened)}")
        while self._events:
            lines.append(f"    {self._line('!', self._next({}))}")
        legend = "> arrived, < went out, ? by the playbook, ! in truth"
        return "\n".join((f"the conversation parts from its playbook at the arrow ({legend}):", *lines))

    def _line(self, arrow: str, line: str) -> str:
        return f"{self._loop.time():8.3f} s  {self._name}  {arrow}  {line}"

    def _next(self, named: Headers) -> str:
        if not self._events:
            return "nothing"
        at, kind, what, data = self._events.popleft()
        if data:
            answer, rest = split_answer(data)
            what = shown_answer(answer.status, {name: answer.headers.get(name) for name in named}, answer.body)
            if rest:
                self._events.appendleft(_Event(at, kind, "", rest))
        early = self._loop.time() - at
        return f"{kind} {what}".rstrip() + (f" ({early:g} s before)" if early > _ROUNDING else "")


def shown(data: bytes) -> str:
    """Bytes as Python writes them, long ones cut and told apart by their length and end."""
    text = repr(data) if len(data) <= _SHOWN else f"{data[:80]!r}...{data[-80:]!r} ({len(data)} bytes)"
    return text.removeprefix("b")


def shown_answer(status: int, headers: Headers, body: bytes) -> str:
    """An answer as a line of a conversation."""
    lines = [f"{name}: {'absent' if value is None else value}" for name, value in sorted(headers.items())]
    return " | ".join((str(status), *lines, shown(body)))
