"""Faults of the Kubernetes API and of the way to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.faults.link import Link
from tests.support.kubeapi import KubeApi, Stage
from tests.support.wait import until


@contextmanager
def link_cut(link: Link) -> Iterator[None]:
    """Connections break, new ones are refused."""
    link.cut()
    yield
    link.mend()


@contextmanager
def link_slow(link: Link) -> Iterator[None]:
    """Every answer takes two seconds longer."""
    link.delay = 2.0
    yield
    link.delay = 0.0


@contextmanager
def api_restarted(api: KubeApi) -> Iterator[None]:
    """The API server goes down and starts as a real one does: it forbids, then throttles, then knows no old version."""
    api.enter("down")
    yield
    stages: tuple[Stage, ...] = ("loading rules", "initializing")
    for stage in stages:
        met = api.arrivals[stage] + 10
        api.enter(stage)
        until(lambda stage=stage, met=met: api.arrivals[stage] >= met, what=f"the server is met {stage}", seconds=20)  # type: ignore[misc]
    api.enter("serving")
