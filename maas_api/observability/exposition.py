"""From numbers in several worker processes to one page for Prometheus.

Each worker writes its numbers to a file of its own in a folder in memory, about twice a second and when it stops.
Whoever is asked adds the files up. A worker that ends leaves its counters behind (the master folds them into one
file), because a counter that drops looks like a restart; its gauges go with it. A worker that is killed outright
loses the counts of at most the last half second.
"""

from __future__ import annotations

import json
import logging
import operator
import os
import resource
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from prometheus_client import PlatformCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from maas_api.observability import metrics
from maas_api.observability.instruments import Across, Counter, Gauge, Histogram, Labels

log = logging.getLogger(__name__)

PUBLISH_SECONDS = 0.5
_LOOK_SECONDS = 5.0
"""How often a process looks at its memory and its files: a dozen system calls, after each of which the thread that
publishes wants the interpreter from the event loop again."""
DEPARTED = "departed.json"
TENANT = "tenant_name"
_WITH_TENANT = {metrics.http_requests.name, metrics.validations.name, metrics.mints.name}

_STARTED = time.time()
_looked: dict[int, float] = {}  # process id -> when it looked last: after a fork it is another's
_ACROSS: dict[Across, Callable[[float, float], float]] = {"sum": operator.add, "min": min, "max": max}

Numbers = list[float]
"""One number for a counter or a gauge; for a histogram the counts per bucket and the sum."""

State = dict[str, dict[Labels, Numbers]]
"""Metric name -> label values -> numbers."""


def current() -> State:
    """This process's numbers."""
    _look_at_process()
    return {item.name: {labels: _numbers(series.value) for labels, series in item.series()} for item in metrics.table()}


def _numbers(value: float | list[float]) -> Numbers:
    return value if isinstance(value, list) else [value]


def _look_at_process() -> None:
    spent = time.process_time()
    series = metrics.process_cpu.labels()
    series.inc(max(0.0, spent - series.value))
    metrics.process_start.set(_STARTED)
    now = time.monotonic()
    if now - _looked.get(os.getpid(), -_LOOK_SECONDS) < _LOOK_SECONDS:
        return
    _looked[os.getpid()] = now
    try:
        metrics.process_memory.set(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize())
        metrics.process_fds.set(len(os.listdir("/proc/self/fd")))  # noqa: PTH208 -- a path for each of ten thousand
    except OSError:
        return  # not Linux: these two stay at zero


def _dump(path: Path, document: Any) -> None:
    """Replace a file in one step: a reader sees the old one or the new one."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(json.dumps(document).encode())
    fresh.replace(path)


def _encode(state: State) -> dict[str, list[tuple[Labels, Numbers]]]:
    return {name: list(series.items()) for name, series in state.items()}


def _decode(document: dict[str, list[tuple[list[str], Numbers]]]) -> State:
    return {name: {tuple(labels): value for labels, value in series} for name, series in document.items()}


def _add(into: State, state: State, *, gauges: bool) -> None:
    for item in metrics.table():
        if isinstance(item, Gauge) and not gauges:
            continue
        target = into.setdefault(item.name, {})
        for labels, value in state.get(item.name, {}).items():
            target[labels] = _merged(item, target[labels], value) if labels in target else value


def _merged(item: object, left: Numbers, right: Numbers) -> Numbers:
    combine = _ACROSS[item.across] if isinstance(item, Gauge) else operator.add
    return [combine(one, other) for one, other in zip(left, right, strict=True)]


class Folder:
    """The folder the processes share. Create it before the workers exist; a folder in memory keeps it cheap."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._owner = 0
        self._own = path

    def own(self) -> Path:
        """This process's file. Its name is never used again, even if its pid is."""
        if self._owner != os.getpid():
            self._owner = os.getpid()
            self._own = self.path / f"{self._owner}-{time.monotonic_ns()}.json"
        return self._own

    def publish(self) -> None:
        """Write this process's numbers."""
        _dump(self.own(), _encode(current()))

    def retire(self, pid: int) -> None:
        """Keep the counters of a process that has ended, drop its gauges. Called by the master alone."""
        for own in self.path.glob(f"{pid}-*.json"):
            departed, _ = self._departed()
            _add(departed, _decode(json.loads(own.read_text())), gauges=False)
            _dump(self.path / DEPARTED, {"state": _encode(departed), "last": own.name})
            own.unlink()
            own.with_suffix(".new").unlink(missing_ok=True)

    def total(self) -> State:
        """The numbers of every process, past and present, added up."""
        live: list[tuple[str, State]] = []
        for path in self.path.glob("[0-9]*.json"):
            try:
                live.append((path.name, _decode(json.loads(path.read_text()))))
            except FileNotFoundError:
                continue  # retired since the folder was listed: the next line finds it among the departed
        # Read after the others. A process is then seen at least once; `last` says which would be seen twice.
        result, last = self._departed()
        for name, state in live:
            if name != last:
                _add(result, state, gauges=True)
        return result

    def _departed(self) -> tuple[State, str]:
        try:
            document = json.loads((self.path / DEPARTED).read_text())
        except FileNotFoundError:
            return {}, ""
        return _decode(document["state"]), document["last"]


class Publisher:
    """Writes this process's numbers twice a second; a Background of every worker."""

    def __init__(self, folder: Folder, every: float = PUBLISH_SECONDS) -> None:
        self._folder = folder
        self._every = every
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. The first numbers are written before this returns, so zeros show at once."""
        metrics.workers.set(1)
        self._folder.publish()
        self._thread = threading.Thread(target=self._run, name="metrics-publisher", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self._publish()

    def _publish(self) -> None:
        try:
            self._folder.publish()
        except OSError as fault:  # a full memory folder must not end the publishing for good
            log.warning("metrics could not be written", extra={"error": str(fault)})

    def stop(self) -> None:
        """Stop, and write the last numbers."""
        if self._thread is None or self._stop.is_set():
            return
        self._stop.set()
        self._thread.join(timeout=2)
        self._publish()


class ServiceCollector(Collector):
    """The name table with its numbers, as prometheus_client wants them."""

    def __init__(self, folder: Folder | None, tenant: str) -> None:
        self._folder = folder
        self._tenant = tenant

    def collect(self) -> Iterator[Metric]:
        """Every family, zeros included."""
        state: State = {}
        _add(state, current() if self._folder is None else self._folder.total(), gauges=True)
        yield from _families(state, self._tenant)


def _families(state: State, tenant: str) -> Iterator[Metric]:
    for item in metrics.table():
        names = [*item.label_names, TENANT] if item.name in _WITH_TENANT else list(item.label_names)
        series = [(_label_values(item.name, labels, tenant), value) for labels, value in state[item.name].items()]
        if isinstance(item, Histogram):
            yield _histogram(item, names, series)
            if item.counted_as:
                name, help_ = item.counted_as
                counts = [(labels, [sum(value[:-1])]) for labels, value in series]
                yield _simple(CounterMetricFamily(name, help_, labels=names), counts)
        elif isinstance(item, Counter):
            yield _simple(CounterMetricFamily(item.name, item.help, labels=names), series)
        else:
            yield _simple(GaugeMetricFamily(item.name, item.help, labels=names), series)


def _label_values(name: str, labels: Labels, tenant: str) -> list[str]:
    if name not in _WITH_TENANT:
        return list(labels)
    blank = name == metrics.validations.name and labels == ("invalid",)  # as the Go service has it
    return [*labels, "" if blank else tenant]


def _simple(
    family: CounterMetricFamily | GaugeMetricFamily, series: Iterable[tuple[list[str], Numbers]]
) -> CounterMetricFamily | GaugeMetricFamily:
    for labels, value in series:
        family.add_metric(labels, value[0])
    return family


def _histogram(item: Histogram, names: list[str], series: Iterable[tuple[list[str], Numbers]]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(item.name, item.help, labels=names)
    bounds = [*(f"{bound:g}" for bound in item.bounds), "+Inf"]  # as the Go client writes them
    for labels, value in series:
        *counts, total = value
        seen, buckets = 0, []
        for bound, count in zip(bounds, counts, strict=True):
            seen += int(count)
            buckets.append((bound, seen))
        family.add_metric(labels, buckets, total)
    return family


def registry(folder: Folder | None, tenant: str) -> CollectorRegistry:
    """What the metrics listener serves. Without a folder: this process's numbers alone."""
    result = CollectorRegistry(auto_describe=False)
    result.register(ServiceCollector(folder, tenant))
    PlatformCollector(registry=result)
    return result
