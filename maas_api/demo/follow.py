"""While the demo is kept running: edits of the manifests reach the gateway, and are told."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from maas_api.demo.process import StartError
from maas_api.demo.stack import Stack
from maas_api.gateway.process import EnvoyError

Say = Callable[[str], None]

LOOK_SECONDS = 0.5
"""How often the children are looked at."""


class Follower:
    """Watches the folder as ``maas-api serve`` does, and hands Envoy other routes when models or providers change."""

    def __init__(self, stack: Stack, say: Say) -> None:
        self._stack = stack
        self._say = say
        self._news: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._listed = self._ids()
        self._routing = stack.routing()
        self._problems: tuple[str, ...] = ()

    def run(self, ended: threading.Event) -> None:
        """Follow until ``ended``, or a signal's exception. Raises StartError when a child ends by itself."""
        self._stack.source.subscribe(lambda: self._news.put(None))
        self._stack.catalog.subscribe(lambda _: self._news.put(None))
        self._stack.source.start()
        self._stack.catalog.start()
        try:
            while not ended.is_set():
                self._look()
        finally:
            self._stack.source.stop()
            self._stack.catalog.stop()

    def _look(self) -> None:
        try:
            self._news.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            self._require_children()
            return
        self._tell_models()
        self._tell_problems()
        self._reroute()

    def _require_children(self) -> None:
        if not self._stack.service.running:
            raise StartError(f"maas-api serve ended by itself\n{self._stack.service.tail()}")
        if not self._stack.envoy.running:
            raise StartError(f"Envoy ended by itself, see {self._stack.envoy.log_file}")

    def _ids(self) -> list[str]:
        return sorted({entry.id for entry in self._stack.catalog.snapshot.entries})

    def _tell_models(self) -> None:
        before, self._listed = self._listed, self._ids()
        if self._listed != before:
            changes = [f"+{name}" for name in self._listed if name not in before]
            changes += [f"-{name}" for name in before if name not in self._listed]
            self._say(f"models: {' '.join(changes)} (now {len(self._listed)})")

    def _tell_problems(self) -> None:
        left_out = (*self._stack.source.duplicates, *(it for it in self._stack.catalog.snapshot.problems if it.entry))
        problems = (*self._stack.source.problems(), *self._stack.catalog.snapshot.problems)
        before, self._problems = self._problems, tuple(map(str, problems))
        for problem in problems:
            if str(problem) not in before:
                self._say(f"{problem} ({'left out' if problem in left_out else 'the last good state stays'})")
        if before and not self._problems:
            self._say("manifests: all good again")

    def _reroute(self) -> None:
        before, self._routing = self._routing, self._stack.routing()
        for sentence in self._routing.left_out:
            if sentence not in before.left_out:
                self._say(sentence)
        if self._routing.plan == before.plan:
            return
        try:
            self._stack.envoy.apply(self._routing.plan)
            self._say("gateway: routes renewed, no restart")
        except EnvoyError as fault:
            self._say(f"gateway: {fault}")
