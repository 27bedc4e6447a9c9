"""An event loop on a clock of the test's own: nothing comes from outside, and time passes when the test says so."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

_ROUNDING = 1e-9


class Clockwork(asyncio.SelectorEventLoop):
    """asyncio's own loop; only where it would wait for sockets or the time does it not wait."""

    def __init__(self) -> None:
        self._standstill = _Standstill(self.stop)
        super().__init__(self._standstill)
        self._faults: list[BaseException] = []
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Seconds that have passed for this loop."""
        return self._standstill.now

    def run(self, act: Callable[..., object] | None = None, *arguments: Any, seconds: float = 0.0) -> None:
        """Call ``act`` in the loop, then run all that is due within ``seconds`` from now.

        Raises what ``act``, a timer or another callback has raised.
        """
        if act is not None:
            self.call_soon(act, *arguments)
        self._standstill.until = self._standstill.now + seconds
        self.run_forever()
        if self._faults:
            raise self._faults.pop(0)

    @property
    def waits_for_nothing(self) -> bool:
        """Whether no timer is set."""
        return self._standstill.timeout is None

    def end(self) -> None:
        """Cancel what still waits, and close."""
        for task in asyncio.all_tasks(self):
            task.cancel()
        self.run()
        self.close()

    def _note(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self._faults.append(context.get("exception") or RuntimeError(context["message"]))


class _Standstill(selectors.SelectSelector):
    """Asked to wait for the next timer, it turns the clock to it; past ``until``, and with none, it stops the loop."""

    def __init__(self, stop: Callable[[], None]) -> None:
        super().__init__()
        self._stop = stop
        self.now = self.until = 0.0
        self.timeout: float | None = None  # as it was last asked to wait

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """``timeout`` is 0 while anything is ready to run, and None where no timer is set."""
        self.timeout = timeout
        if timeout is not None and self.now + timeout <= self.until + _ROUNDING:
            self.now += timeout
        else:
            self.now = self.until
            self._stop()
        return []
