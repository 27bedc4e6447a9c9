"""gunicorn, configured: the process manager around the ASGI entry.

The options that matter here have reasons; the rest are gunicorn's defaults.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from gunicorn.app.base import BaseApplication
from uvicorn_worker import UvicornWorker

from maas_api import migrations
from maas_api.app import build
from maas_api.asgi import Entry
from maas_api.config import Settings
from maas_api.keys.location import database_url, no_secrets


class Worker(UvicornWorker):  # type: ignore[misc]  # uvicorn_worker has no types
    """uvicorn under gunicorn with the C parser and uvloop, no Server header, and the lifespan protocol required."""

    CONFIG_KWARGS = {  # noqa: RUF012 -- uvicorn_worker declares it so
        "http": "httptools",
        "loop": "uvloop",
        "lifespan": "on",
        "ws": "none",
        "server_header": False,
        "proxy_headers": False,
    }


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """A gunicorn application whose configuration is the service's Settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Translate Settings into gunicorn's options."""
        for name, value in options(self._settings).items():
            self.cfg.set(name, value)

    def load(self) -> Entry:
        """The ASGI application, built in each worker after fork."""
        return Entry(build(self._settings))


def options(settings: Settings) -> dict[str, Any]:
    """gunicorn's options for these settings."""
    host, port = settings.bind
    memory = Path("/dev/shm")  # noqa: S108 -- the kernel's memory file system, not a shared temporary folder
    chosen: dict[str, Any] = {
        "bind": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "workers": settings.workers,
        "worker_class": Worker,
        # Envoy and Authorino keep idle connections for 90 s: the server must not be the one that closes first.
        "keepalive": settings.keep_alive,
        "graceful_timeout": settings.graceful_timeout,
        "timeout": 30,
        "proc_name": "maas-api",
        # The heartbeat file lives in memory, so that a slow disk cannot get a worker killed.
        "worker_tmp_dir": str(memory) if memory.is_dir() and os.access(memory, os.W_OK) else None,
        "control_socket_disable": True,
        "preload_app": False,
        "accesslog": None,
        "errorlog": "-",
        "loglevel": "debug" if settings.debug else settings.log_level,
    }
    if settings.tls_cert is not None and settings.tls_key is not None:
        chosen["certfile"] = str(settings.tls_cert)
        chosen["keyfile"] = str(settings.tls_key)
    return chosen


def serve(settings: Settings) -> None:
    """Migrate the store, then run until SIGTERM or SIGINT. Raises SystemExit with gunicorn's exit code.

    Raises ConfigError or MigrationError when the store cannot be used. The workers get the URL that was found.
    """
    settings = dataclasses.replace(settings, database_url=database_url(settings, no_secrets))
    migrations.upgrade(settings.database_url)
    Server(settings).run()
