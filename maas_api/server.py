"""gunicorn, configured: the process manager around the ASGI entry.

The master makes what the workers share before they exist (sockets, a private folder in memory, a certificate), so
that whatever is wrong with it is said once, in one sentence, before anything serves. The options that matter here
have reasons; the rest are gunicorn's defaults.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
import math
import os
import resource
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger

from maas_api import migrations
from maas_api.app import Service, build
from maas_api.asgi import Entry
from maas_api.config import ConfigError, Settings
from maas_api.edge.connections import tls
from maas_api.kube import secrets
from maas_api.lifecycle import Background
from maas_api.observability import exposition, logs
from maas_api.observability.listener import BindError, MetricsListener, bind
from maas_api.observability.outlet import Outlet
from maas_api.observability.redaction import remember_secrets
from maas_api.store.assembly import database_url
from maas_api.worker import ENDINGS, Worker

_log = logging.getLogger(__name__)


class StartError(Exception):
    """The service cannot start as it is configured. The message is one sentence."""


@dataclasses.dataclass(frozen=True)
class Shared:
    """What the master makes and every worker uses."""

    folder: Path
    listener: socket.socket
    metrics: socket.socket | None
    certificate: tls.Files | None
    greeting: str = ""
    """What the first worker prints once it serves, for a person who started this by hand."""

    @property
    def numbers(self) -> exposition.Folder:
        """Where the workers leave their numbers."""
        return exposition.Folder(self.folder)


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """A gunicorn application whose configuration is the service's Settings."""

    def __init__(self, settings: Settings, shared: Shared) -> None:
        self.settings = settings
        self.shared = shared
        super().__init__()
        self.service = self._build()
        # What is here by now the workers share for as long as nobody writes to it. A collection would: frozen, it is
        # left out of theirs. There is next to no garbage in it, and looking would be a sixth of the start.
        gc.freeze()
        gc.enable()

    def load_config(self) -> None:
        """Translate Settings into gunicorn's options."""
        for name, value in options(self.settings, self.shared).items():
            self.cfg.set(name, value)

    def reload(self) -> None:
        """At SIGHUP: read the files of the settings again, for the workers to come. Those that cannot be used now do
        not end a service that serves."""
        super().reload()
        gc.unfreeze()
        try:
            self.service = self._build()
        except ConfigError as fault:
            _log.error("new workers serve what was read before", extra={"fault": str(fault)})
        gc.collect()  # the service before
        gc.freeze()

    def _build(self) -> Service:
        """The service, of which nothing has started. Raises ConfigError."""
        return build(self.settings, self.shared.folder, migrated=True)

    def load(self) -> Entry:
        """The ASGI application around the service, which every worker takes over as the master built it: nothing of it
        has started."""
        outlet = Outlet()
        around: list[Background] = [outlet, exposition.Publisher(self.shared.numbers)]
        if self.shared.metrics is not None:
            registry = exposition.registry(self.shared.numbers, self.settings.tenant_name)
            around.append(MetricsListener(self.shared.metrics, registry))
        return Entry(self.service, around, outlet)


class _Logs(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own lines, through the service's one output and its redactor."""

    def setup(self, cfg: Any) -> None:
        """Take over the configuration; no handler of its own."""
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.handlers.clear()
        self.error_log.propagate = True
        self.error_log.setLevel(logging.NOTSET)


def options(settings: Settings, shared: Shared) -> dict[str, Any]:
    """gunicorn's options for these settings."""
    chosen: dict[str, Any] = {
        "bind": f"fd://{shared.listener.fileno()}",
        "backlog": 2048,
        "workers": settings.workers,
        "worker_class": Worker,
        # Envoy and Authorino keep idle connections for 90 s: the server must not be the one that closes first.
        "keepalive": settings.keep_alive,
        "graceful_timeout": math.ceil(settings.drain_seconds) + settings.graceful_timeout,
        "timeout": 30,
        "proc_name": "maas-api",
        # The heartbeat file lives in memory, so that a slow disk cannot get a worker killed.
        "worker_tmp_dir": str(shared.folder),
        "control_socket_disable": True,
        "preload_app": False,
        "accesslog": None,
        "logger_class": _Logs,
        "pre_fork": lambda _arbiter, _worker: signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS),
        "child_exit": lambda _arbiter, worker: shared.numbers.retire(worker.pid),
    }
    if shared.certificate is not None:
        # The worker makes the context itself; gunicorn only says https where it names the address.
        chosen["certfile"] = str(shared.certificate.cert)
        chosen["keyfile"] = str(shared.certificate.key)
    return chosen


def serve(settings: Settings, greeting: str = "") -> None:
    """Migrate the store, then run until SIGTERM or SIGINT. Raises SystemExit with gunicorn's exit code.

    Raises ConfigError, MigrationError or StartError when it cannot start. The workers get the database URL found.
    """
    logs.configure(settings.log_format, "debug" if settings.debug else settings.log_level)
    url = database_url(settings, secrets.reader(settings, os.environ))
    settings = dataclasses.replace(settings, database_url=url)
    remember_secrets(url, settings.internal_secret_file, settings.usage_secret_file)
    _open_as_many_files_as_allowed()
    with _shared(settings, greeting) as shared:
        migrations.upgrade(settings.database_url)
        os.register_at_fork(after_in_parent=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS))
        Server(settings, shared).run()


def _open_as_many_files_as_allowed() -> None:
    """Every connection is a file. The soft limit is kept low for programs that use select(2); this one does not."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # where it may not be raised, fewer connections are served
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def _shared(settings: Settings, greeting: str) -> Iterator[Shared]:
    """Everything of :class:`Shared`, removed afterwards. Raises StartError."""
    master = os.getpid()
    folder = _memory_folder()
    sockets: list[socket.socket] = []
    try:
        try:
            sockets.append(bind(*settings.bind, "option --address, environment ADDRESS"))
            if settings.metrics_port:
                option = "option --metrics-port, environment METRICS_PORT"
                sockets.append(bind(*settings.metrics_bind, option))
            metrics = sockets[1] if len(sockets) > 1 else None
            yield Shared(folder, sockets[0], metrics, _certificate(settings, folder), greeting)
        except (BindError, tls.TlsError) as fault:
            raise StartError(str(fault)) from None
    finally:
        if os.getpid() == master:  # workers leave through here too, by SystemExit
            for sock in sockets[1:]:
                sock.close()
            shutil.rmtree(folder, ignore_errors=True)


def _certificate(settings: Settings, folder: Path) -> tls.Files | None:
    if settings.tls_cert is not None and settings.tls_key is not None:
        files = tls.Files(settings.tls_cert, settings.tls_key, settings.tls_client_ca)
    elif settings.tls:
        service = f"{settings.instance}.{settings.namespace}.svc"
        files = tls.self_signed(folder, (settings.instance, service, "localhost", "127.0.0.1", "::1"))
        files = files._replace(client_ca=settings.tls_client_ca)
        _log.warning("serving with a self-signed certificate made at start")
    else:
        return None
    tls.context(files, settings.tls_min_version)  # refused now rather than by every worker
    return files


def _memory_folder() -> Path:
    """A folder for this user only, in memory where the machine offers it."""
    memory = Path("/dev/shm")  # noqa: S108 -- the kernel's memory file system; the folder made in it is private
    try:
        return Path(tempfile.mkdtemp(prefix="maas-api-", dir=memory if os.access(memory, os.W_OK | os.X_OK) else None))
    except OSError as fault:
        raise ConfigError(f"no folder for the workers' shared numbers: {fault} (TMPDIR chooses another)") from None
