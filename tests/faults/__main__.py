"""``make faults``: the real service under load, one fault after another, and a table of what came of it.

Three services are used: one over PostgreSQL that watches a Kubernetes API, one over SQLite on a disk of a few
megabytes, one whose clock can be moved. Ends 1 when a key was accepted that should not have been, a key was lost, a
client saw an answer of an undeclared kind, or the service did not come back by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg

from tests.faults import hostile, metering, restarts
from tests.faults.attacks import ATTACKS
from tests.faults.clock import Clock
from tests.faults.cluster import api_restarted, link_cut, link_slow
from tests.faults.hostile import FILE_LIMIT
from tests.faults.link import Link
from tests.faults.load import VALIDATE, Load, Record
from tests.support import kubeapi
from tests.support.postgres import PostgresServer
from tests.support.process import USER, Running, running
from tests.support.wait import until

RECOVERY_SECONDS = 30.0

HEARD, UNHEARD = 1.0, 6.0
"""How long, in seconds, a revoked key may still open: while workers hear of revocations at once, and while the channel
is down, when answers are trusted for five seconds. One second of each is for this machine to get round to it."""


@dataclass
class Row:
    """One line of the table. ``recovery`` is seconds, None when it did not come."""

    fault: str
    record: Record
    lost: int
    recovery: float | None
    bound: float

    @property
    def held(self) -> bool:
        """Whether every promise held."""
        record = self.record
        return not (record.undeclared or record.wrong_accepts or record.wrong_denials or self.lost) and (
            self.recovery is not None
        )


class Bench:
    """Runs faults against one loaded service."""

    def __init__(self, service: Running, load: Load, seconds: float) -> None:
        self.service = service
        self.load = load
        self.seconds = seconds

    def run(
        self,
        name: str,
        fault: Callable[[], contextlib.AbstractContextManager[None]],
        *,
        recovered: Callable[[], bool] = lambda: True,
        bound: float = HEARD,
        resets: bool = False,
    ) -> Row:
        """One fault: in, held for a while under load, out; then wait until everything works and count the keys."""
        load = self.load
        load.record, load.revocation_bound, load.resets = Record(), bound, resets
        with fault():
            time.sleep(self.seconds)
        ended = time.monotonic()
        recovery = None
        while time.monotonic() - ended < RECOVERY_SECONDS:
            if load.well() and recovered():
                recovery = time.monotonic() - ended
                break
            time.sleep(0.02)
        time.sleep(0.5)  # the aftermath counts as well
        lost, back = load.lost()
        record, load.record = load.record, Record()
        load.resets = False
        record.wrong_accepts += back
        row = Row(name, record, lost, recovery, bound)
        _print_row(row)
        return row


# The faults ---------------------------------------------------------------------------------------------------------


@contextmanager
def nothing() -> Iterator[None]:
    """No fault: what the load looks like."""
    yield


@contextmanager
def postgres_stopped(server: PostgresServer) -> Iterator[None]:
    """Stopped as by a crash; started again."""
    server.halt()
    yield
    server.run()


@contextmanager
def postgres_frozen(server: PostgresServer) -> Iterator[None]:
    """Connections stay open and nobody answers."""
    server.pause()
    yield
    server.resume()


@contextmanager
def listen_cut(url: str) -> Iterator[None]:
    """The sessions that hear of revocations are ended, again and again."""
    stop = time.monotonic() + 3
    with psycopg.connect(url, autocommit=True) as admin:
        while time.monotonic() < stop:
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query ILIKE 'LISTEN%'")
            time.sleep(0.1)
    yield


@contextmanager
def pool_full(url: str) -> Iterator[None]:
    """The table is locked, so every connection of the pool ends up waiting for it."""
    with psycopg.connect(url) as admin:
        admin.execute("LOCK TABLE api_keys IN ACCESS EXCLUSIVE MODE")
        yield
        admin.rollback()


@contextmanager
def workers_killed(service: Running) -> Iterator[None]:
    """SIGKILL for one worker after another."""
    for _ in range(3):
        os.kill(random.choice(service.workers()), signal.SIGKILL)
        time.sleep(1)
    yield


@contextmanager
def disk_full(disk: Path) -> Iterator[None]:
    """Not a byte left where SQLite writes."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as out, contextlib.suppress(OSError):
        while True:
            out.write(bytes(4096))
    yield
    filler.unlink()


@contextmanager
def clock_off(clock: Clock, seconds: int) -> Iterator[None]:
    """The wall clock jumps, and later jumps back."""
    clock.skew(seconds)
    yield
    clock.skew(0)


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[Path | None]:
    """A memory file system of that size, or None where this user may not mount one."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=False)


# The services -------------------------------------------------------------------------------------------------------


def over_postgres(folder: Path, seconds: float) -> Iterator[Row]:
    """PostgreSQL and Kubernetes."""
    with ExitStack() as stack:
        server = PostgresServer()
        stack.callback(server.stop)
        url = server.migrated()
        with psycopg.connect(url, autocommit=True) as admin:  # tests turn it off for speed; here a commit must count
            admin.execute("ALTER SYSTEM SET synchronous_commit = on")
            admin.execute("SELECT pg_reload_conf()")
        api = kubeapi.KubeApi()
        _list_model(api, "first-model")
        stack.enter_context(kubeapi.running(api))
        link = Link(int(api.url.rpartition(":")[2]))
        link.start()
        api.url = f"http://127.0.0.1:{link.port}"
        flags = (
            "--database-url", url, "--kubernetes", "on", "--kubeconfig", str(kubeapi.kubeconfig(api, folder)),
            "--workers", "2", "--manifests", "", "--source-subscriptions", "off", "--namespace", "maas-api",
        )  # fmt: skip
        service = stack.enter_context(running(folder, *flags))
        load = Load(service.url)
        load.seed(20)
        stack.enter_context(load.running())
        bench = Bench(service, load, seconds)

        def hears_of(model: str) -> Callable[[], bool]:
            def listed() -> bool:
                _list_model(api, "first-model", model)
                return model in _models(service)

            return listed

        yield bench.run("none", nothing)
        yield bench.run("stop PostgreSQL", lambda: postgres_stopped(server), bound=UNHEARD)
        yield bench.run("freeze PostgreSQL", lambda: postgres_frozen(server), bound=UNHEARD)
        yield bench.run("cut LISTEN", lambda: listen_cut(url), bound=UNHEARD)
        yield bench.run("fill the pool", lambda: pool_full(url))
        yield bench.run("cut the Kubernetes API", lambda: link_cut(link), recovered=hears_of("after-the-cut"))
        yield bench.run("delay the Kubernetes API", lambda: link_slow(link), recovered=hears_of("after-the-delay"))
        yield bench.run(
            "restart the Kubernetes API", lambda: api_restarted(api), recovered=hears_of("after-the-restart")
        )
        yield bench.run("kill workers", lambda: workers_killed(service), resets=True)


def over_sqlite(folder: Path, seconds: float) -> Iterator[Row]:
    """SQLite on a disk of sixteen megabytes."""
    with small_disk(folder / "disk", 16) as disk:
        if disk is None:
            print("fill SQLite's disk: skipped, this user may not mount a small file system")
            return
        with running(folder, "--sqlite-path", str(disk / "keys.db"), "--workers", "2") as service:
            load = Load(service.url)
            load.seed(20)
            with load.running():
                bench = Bench(service, load, seconds)
                yield bench.run("fill SQLite's disk", lambda: disk_full(disk))
                yield bench.run("kill workers (SQLite)", lambda: workers_killed(service), resets=True)


def over_a_moving_clock(folder: Path, seconds: float) -> Iterator[Row]:
    """The wall clock an hour ahead, then an hour behind; a key that has expired once must stay expired."""
    try:
        clock = Clock(folder)
    except FileNotFoundError as fault:
        print(f"skew the clock: skipped, {fault}")
        return
    with running(folder, "--workers", "2", environ=clock.environ) as service:
        load = Load(service.url)
        load.seed(20)
        made = httpx.post(service.url + "/v1/api-keys", json={"name": "short", "expiresIn": "2s"}, headers=USER).json()
        until(lambda: not _valid(service, made["key"]), what="the short key has expired")
        with load.running():
            bench = Bench(service, load, seconds)
            yield bench.run("clock 1 h ahead", lambda: clock_off(clock, 3600))
            load.revoked[made["key"]] = time.monotonic()
            yield bench.run("clock 1 h behind", lambda: clock_off(clock, -3600))


def _valid(service: Running, key: str) -> bool:
    found: bool = httpx.post(service.url + VALIDATE, json={"key": key}).json()["valid"]
    return found


def _models(service: Running) -> list[str]:
    headers = {**USER, "Authorization": "Bearer opaque"}
    return [entry["id"] for entry in httpx.get(service.url + "/v1/models", headers=headers).json()["data"]]


def _list_model(api: kubeapi.KubeApi, *names: str) -> None:
    models = "".join(f"- {{id: {name}, provider: openai, backend: b}}\n" for name in names)
    meta = {"name": "external-model-registry", "namespace": "maas-api"}
    api.put("configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"models": models}})


# The table ----------------------------------------------------------------------------------------------------------

_LINE = "{:<26} {:>7} {:>6} {:>5} {:>9}  {}"


def _print_row(row: Row) -> None:
    record = row.record
    seen = ", ".join(f"{kind} x{count}" for kind, count in sorted(record.seen.items()))
    recovery = "never" if row.recovery is None else f"{row.recovery:.2f} s"
    print(_LINE.format(row.fault, record.wrong_accepts, record.wrong_denials, row.lost, recovery, seen), flush=True)
    if record.late:
        print(f"{'':<26} a revoked key still opened for {record.late:.2f} s, {row.bound:g} s are promised")
    for text in sorted(set(record.undeclared))[:5]:
        print(f"{'':<26} UNDECLARED {text}")


def main() -> int:
    """Run the matrix."""
    options = argparse.ArgumentParser(prog="make faults", description=__doc__)
    options.add_argument("--only", choices=("faults", "hostile", "restarts", "metering"), help="one of the four tables")
    options.add_argument("--attack", action="append", choices=[*ATTACKS, FILE_LIMIT], help="a row of 'hostile'; repeat")
    options.add_argument("--seconds", type=float, default=3.0, help="how long each fault lasts (default: 3)")
    chosen = options.parse_args()
    rows: list[Row | hostile.Row | restarts.Row | metering.Row] = []
    with tempfile.TemporaryDirectory(prefix="maas-api-faults-") as name:
        if chosen.only in (None, "faults"):
            print(_LINE.format("fault", "wrong", "wrong", "lost", "recovery", "what clients saw"))
            print(_LINE.format("", "accept", "deny", "keys", "", ""))
            for number, part in enumerate((over_postgres, over_sqlite, over_a_moving_clock)):
                folder = Path(name) / str(number)
                folder.mkdir()
                rows += part(folder, chosen.seconds)
        if chosen.only in (None, "hostile"):
            print("\n" + hostile.HEAD + "   (p50 / p99 of the others, milliseconds)")
            folder = Path(name) / "hostile"
            folder.mkdir()
            for attack in hostile.hostile_clients(folder, chosen.seconds, chosen.attack):
                print(*hostile.lines(attack), sep="\n", flush=True)
                rows.append(attack)
        if chosen.only in (None, "restarts"):
            print("\n" + restarts.HEAD)
            for restart in restarts.restarts(Path(name) / "restarts"):
                print(restart.text(), flush=True)
                rows.append(restart)
        if chosen.only in (None, "metering"):
            print("\n" + metering.HEAD)
            for metered in metering.metering(Path(name) / "metering"):
                print(metered.text(), flush=True)
                rows.append(metered)
    failed = [row.fault for row in rows if not row.held]
    print(
        f"\n{len(rows)} faults: "
        + (f"FAILED {', '.join(failed)}" if failed else "nothing wrong, nothing lost, nobody noticed")
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
