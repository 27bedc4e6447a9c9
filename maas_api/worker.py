"""One worker process: uvicorn under gunicorn, with bounds, TLS that follows its files, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

from uvicorn.config import STARTUP_FAILURE
from uvicorn.server import Server
from uvicorn_worker import UvicornWorker

from maas_api.asgi import Entry
from maas_api.config import Settings
from maas_api.edge.connections import tls
from maas_api.edge.connections.arrivals import Arrivals
from maas_api.edge.connections.doorstep import Doorstep, House
from maas_api.edge.connections.limits import PARTING_SECONDS, Limits
from maas_api.edge.connections.protocol import BoundedProtocol
from maas_api.edge.connections.questions import Questions
from maas_api.edge.connections.room import room_of

_FLUSH_SECONDS = 2
"""Of the grace after SIGTERM, what is kept for writing the last uses and closing watches."""

_BOOT_ERROR = 3
"""The exit code that makes gunicorn give up: right for a first start, wrong when others still serve."""

_SERVED = "served"

ENDINGS = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
"""The signals that end a worker. The master blocks them while it forks: until a worker has handlers of its own, those
of the master would take the signal and do nothing."""


class Worker(UvicornWorker):  # type: ignore[misc]  # uvicorn_worker has no types
    """uvicorn under gunicorn with the C parser and uvloop, no Server header, and the lifespan protocol required.

    Chosen over gunicorn's own ``asgi`` worker, which gave 0.4 of its rate with a handler that does nothing
    (``make bench`` measures both).
    """

    CONFIG_KWARGS = {  # noqa: RUF012 -- uvicorn_worker declares it so
        "loop": "uvloop",
        "lifespan": "on",
        "ws": "none",
        "server_header": False,
        "proxy_headers": False,
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings: Settings = self.app.settings
        self._shared = self.app.shared
        self._settings = settings
        for name, on in (("uvicorn.error", True), ("uvicorn.access", False)):
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = on  # through the service's own output; our access line replaces uvicorn's
            # Its warnings are about single requests, for every one of which a client could make a line.
            logger.setLevel(logging.ERROR if on else logging.CRITICAL)
        self.config.timeout_graceful_shutdown = max(1, settings.graceful_timeout - _FLUSH_SECONDS)

    def init_signals(self) -> None:
        """Until it serves, a worker that is told to stop has nothing to stop in order. It ends as if it had: dying by
        the signal would have the master warn of it."""
        super().init_signals()
        for number in ENDINGS:
            signal.signal(number, lambda *_: os._exit(0))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)

    async def _serve(self) -> None:
        entry: Entry = self.wsgi
        self.config.app = entry
        self.config.http = BoundedProtocol
        certificate = None
        if self._shared.certificate is not None:
            certificate = tls.Reloading(self._shared.certificate, self._settings.tls_min_version)
            self.config.ssl_context_factory = lambda _config, _default: certificate.context
            certificate.start()
        server = DrainingServer(self.config, entry, self._settings, self.ppid)
        # How the master passes SIGINT on. uvicorn_worker's own handler sets a flag that nobody reads.
        asyncio.get_running_loop().add_signal_handler(signal.SIGQUIT, server.handle_exit, signal.SIGQUIT, None)
        server.on_started = self._serves
        try:
            # gunicorn wraps its sockets: uvloop would close the wrapper after the descriptor, and say that it failed.
            await server.serve(sockets=[wrapper.sock for wrapper in self.sockets])
        except SystemExit:
            self._give_up()
        finally:
            if certificate is not None:
                certificate.stop()
            if os.getppid() != self.ppid:  # the master was killed and cannot clean up
                shutil.rmtree(self._shared.folder, ignore_errors=True)
        if not server.started:
            self._give_up()

    def _serves(self) -> None:
        """Leave a note that the service starts here; the first of the workers greets."""
        try:
            (self._shared.folder / _SERVED).touch(exist_ok=False)
        except FileExistsError:
            return
        if self._shared.greeting:
            sys.stdout.write(self._shared.greeting)
            sys.stdout.flush()

    def _give_up(self) -> None:
        """The service would not start here. The first time the master ends with it; later the next one tries."""
        if (self._shared.folder / _SERVED).exists():
            time.sleep(1)  # the master replaces this worker at once: not in a tight circle
            sys.exit(1)
        sys.exit(_BOOT_ERROR)


_OTHER_FILES = 256
"""File descriptors kept for everything but connections: the store, watches, logs, sockets between workers."""


def limits(settings: Settings) -> Limits:
    """The bounds of a connection, from the settings; of their number also from how many files may be open."""
    may_open, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = settings.max_connections
    if may_open != resource.RLIM_INFINITY:
        connections = max(1, min(connections, may_open - _OTHER_FILES))
    return Limits(
        header_bytes=settings.max_header_bytes,
        header_seconds=settings.header_timeout_seconds,
        request_seconds=settings.body_timeout_seconds,
        write_seconds=settings.write_timeout_seconds,
        idle_seconds=settings.keep_alive,
        connections=connections,
    )


class DrainingServer(Server):
    """uvicorn's server that, told to stop, first says no to readiness probes and goes on serving for a while.

    It also ends when its master is gone: nobody would replace or stop it any more.
    """

    def __init__(self, config: Any, entry: Entry, settings: Settings, parent: int) -> None:
        super().__init__(config)
        self._entry = entry
        self._settings = settings
        self._drain_seconds = settings.drain_seconds
        self._handshake_seconds = settings.header_timeout_seconds
        self._parent = parent
        self._exit_at: float | None = None
        self._arrivals: list[Arrivals] = []
        self.on_started: Callable[[], None] = lambda: None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM starts the draining; a second one, SIGINT or SIGQUIT ends it."""
        self._entry.drain()
        if sig == signal.SIGTERM and self._drain_seconds and self._exit_at is None:
            self._exit_at = time.monotonic() + self._drain_seconds
            return
        super().handle_exit(sig, frame)

    async def startup(self, sockets: Any = None) -> None:
        """As uvicorn's, over the sockets the master made, with a bound on both ends of TLS; leave a note of success.

        A connection is counted once its handshake is done: without a bound, silence at the TLS port would be free.
        """
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        config, bounds = self.config, limits(self._settings)
        inside = partial(
            BoundedProtocol,
            limits=bounds,
            config=config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        questions = Questions(bounds.header_bytes)
        room = room_of(asyncio.get_running_loop())
        house = House(self.server_state, bounds, room, questions, lambda: self._entry.shortcut, inside)
        connection = partial(Doorstep, house)
        self._arrivals = [
            Arrivals(
                sock,
                connection,
                tls=config.ssl,
                handshake_seconds=self._handshake_seconds,
                parting_seconds=PARTING_SECONDS,
            )
            for sock in sockets
        ]
        self.servers = [await arrivals.listen(config.backlog) for arrivals in self._arrivals]
        self.started = True
        self.on_started()

    async def shutdown(self, sockets: Any = None) -> None:
        """Stop in order. uvicorn would then die by the signal it was sent, and a Ctrl-C would end in a warning about
        every worker; where the start was not finished it still does, for there is nothing to stop in order."""
        for arrivals in self._arrivals:
            await arrivals.close()
        await super().shutdown(sockets)
        self._captured_signals.clear()

    async def on_tick(self, counter: int) -> bool:
        """Asked ten times a second whether to go on."""
        if self._exit_at is not None and time.monotonic() >= self._exit_at:
            self.should_exit = True
        if os.getppid() != self._parent:
            self._entry.drain()
            self.should_exit = True
        return await super().on_tick(counter)
