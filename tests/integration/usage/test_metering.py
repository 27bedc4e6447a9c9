"""Calls of known usage through a real Envoy: what is counted is what was delivered, to the token."""

from __future__ import annotations

import dataclasses
import itertools
import os
import random
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from maas_api import migrations
from maas_api.app import build
from maas_api.config import load
from maas_api.demo.simulators.server import Simulator
from maas_api.gateway import authorizer, envoy, quota
from maas_api.gateway.envoy.secrets import INTERNAL_SECRET
from maas_api.gateway.process import EnvoyProcess
from maas_api.store.database import Database, open_database
from maas_api.usage import record
from maas_api.wire import Reply, Request, RouteTable
from tests.support.metered import PATHS, Wanted, answer, sums, wanted
from tests.support.serving import serving
from tests.support.wait import until

MODEL = "/llm/metered/"
REPEATED = "cluster.maas-api-authority.upstream_rq_retry"
_users = (f"metered-{number}" for number in itertools.count())


@dataclass
class Gateway:
    """An Envoy whose callers are who their credential says, and the service that counts."""

    calls: httpx.Client
    service: httpx.Client
    process: EnvoyProcess
    upstream: Simulator
    database: Database

    def send(self, user: str, asked: Wanted) -> httpx.Response:
        """One call, read to its end."""
        return self.calls.post(
            MODEL + PATHS[asked.kind],
            json={"model": "m", "stream": asked.stream, "wanted": asked._asdict()},
            headers={"Authorization": f"Bearer {user}"},
        )

    def total(self, user: str) -> dict[str, Any]:
        """What is counted of a user's calls."""
        headers = {"X-MaaS-Username": user, "X-MaaS-Group": '["team"]'}
        answer = self.service.get("/v1/usage", params={"interval": "total"}, headers=headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()["total"]
        return found

    def settled(self, user: str, requests: int) -> dict[str, Any]:
        """The sums once so many calls are counted."""
        until(lambda: self.total(user)["requests"] >= requests, what=f"{requests} calls were counted", seconds=30)
        return self.total(user)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("metering")
    with ExitStack() as stack:
        upstream = stack.enter_context(Simulator("metered", answer, pause=0))
        secret = secrets.token_hex(16)
        (folder / "secret").write_text(secret)
        url = f"sqlite:///{folder / 'maas.db'}"
        migrations.upgrade(url)
        flags = {"internal_secret_file": str(folder / "secret"), "kubernetes": "off", "database_url": url}
        service = build(load(flags, {}))
        fast = RouteTable()
        fast.add_prefix(authorizer.PREFIX, _passes)
        base = stack.enter_context(serving(dataclasses.replace(service, fast=fast, background=())))
        plan = envoy.Plan(
            listen=envoy.Address("127.0.0.1", 0),
            maas_api=envoy.Upstream.from_url(base),
            models=(envoy.LocalRoute(path_prefix=MODEL, upstream=envoy.Upstream.from_url(upstream.url)),),
            internal_secret=True,
        )
        process = stack.enter_context(EnvoyProcess(folder / "envoy"))
        process.put_secret(INTERNAL_SECRET, secret)
        process.start(plan)
        address = f"http://127.0.0.1:{process.address.port}"
        limits = httpx.Limits(max_connections=16)
        calls = stack.enter_context(httpx.Client(base_url=address, trust_env=False, timeout=30, limits=limits))
        asked = stack.enter_context(httpx.Client(base_url=base, trust_env=False, timeout=30))
        database = open_database(url)
        yield Gateway(calls, asked, process, upstream, database)
        database.stop()


def _passes(request: Request) -> Reply:
    """Everyone may call, and is who the credential says."""
    user = (request.header(b"authorization") or "").removeprefix("Bearer ")
    said = {record.KEY_ID: f"key-of-{user}", record.USER: user, record.SUBSCRIPTION: "gold", record.MODEL: "m"}
    lines = [(quota.SAID[name].encode(), value.encode()) for name, value in said.items()]
    return Reply(200, (*lines, (b"x-envoy-auth-headers-to-remove", b"authorization")), b"")


KINDS = [
    Wanted("chat", False, 2006, 300, cached=1920, reasoning=200),
    Wanted("chat", True, 2006, 300, cached=1920, reasoning=200),
    Wanted("completions", False, 7, 3),
    Wanted("completions", True, 7, 3),
    Wanted("responses", False, 328, 52, cached=128, reasoning=40),
    Wanted("responses", True, 328, 52, cached=128, reasoning=40),
    Wanted("embeddings", False, 8, 0),
    Wanted("messages", False, 100_298, 503, cached=100_000, written=248),
    Wanted("messages", True, 100_298, 503, cached=100_000, written=248),
]


@pytest.mark.parametrize("asked", KINDS, ids=lambda item: f"{item.kind} {'streamed' if item.stream else 'at once'}")
def test_a_call_is_counted_to_the_token_in_every_dialect(gateway: Gateway, asked: Wanted) -> None:
    user = next(_users)
    assert gateway.send(user, asked).status_code == 200
    found = gateway.settled(user, 1)
    assert (found["inputTokens"], found["outputTokens"]) == (asked.input, asked.output)
    assert (found["cachedInputTokens"], found["cacheWriteTokens"]) == (asked.cached, asked.written)
    assert (found["reasoningTokens"], found["unmetered"], found["errors"]) == (asked.reasoning, 0, 0)


def test_a_stream_that_says_nothing_is_unmetered(gateway: Gateway) -> None:
    user = next(_users)
    gateway.send(user, Wanted("chat", True, 10, 5, told=False))
    found = gateway.settled(user, 1)
    assert (found["unmetered"], found["totalTokens"]) == (1, 0)


def test_an_answer_reaches_the_client_as_the_model_gave_it(gateway: Gateway) -> None:
    for asked in KINDS:
        response = gateway.send(next(_users), asked)
        sent = gateway.upstream.received[-1]
        assert sent.header("accept-encoding") is None  # so that no answer comes packed
        assert not [name for name, _ in sent.headers if name.lower().startswith("x-maas-")]
        assert not [name for name in response.headers if name.startswith("x-maas-")]


CUT = [(Wanted("messages", True, 500, 90), (500, 1, 0)), (Wanted("chat", True, 500, 90), (0, 0, 1))]


@pytest.mark.parametrize(("asked", "expected"), CUT, ids=["told at its beginning", "told at its end"])
def test_of_a_stream_that_the_client_cuts_what_was_told_by_then_is_counted(
    gateway: Gateway, asked: Wanted, expected: tuple[int, int, int]
) -> None:
    user = next(_users)
    body = {"model": "m", "stream": True, "wanted": asked._asdict(), "endless": True}
    path, headers = MODEL + PATHS[asked.kind], {"Authorization": f"Bearer {user}"}
    with gateway.calls.stream("POST", path, json=body, headers=headers) as response:
        next(response.iter_raw())
    found = gateway.settled(user, 1)
    assert found["interrupted"] == 1
    assert (found["inputTokens"], found["outputTokens"], found["unmetered"]) == expected


def test_what_the_service_did_not_take_is_sent_again_until_it_does(gateway: Gateway) -> None:
    user = next(_users)
    with gateway.database.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE maas_usage RENAME TO maas_usage_away")
    try:
        before = repeated(gateway)
        for _ in range(3):
            assert gateway.send(user, KINDS[0]).status_code == 200
        until(lambda: repeated(gateway) >= before + 2, what="the gateway sends it again", seconds=20)
    finally:
        with gateway.database.writing() as connection:
            connection.exec_driver_sql("ALTER TABLE maas_usage_away RENAME TO maas_usage")
    assert gateway.settled(user, 3)["requests"] == 3


def repeated(gateway: Gateway) -> int:
    """Batches that Envoy sent again."""
    return int(gateway.process.statistics(REPEATED).get(REPEATED, 0))


def test_mixed_calls_at_once_add_up_exactly(gateway: Gateway) -> None:
    """A thousand; ``MAAS_METERED_CALLS`` asks for more."""
    rng = random.Random(15)
    user = next(_users)
    asked = [wanted(rng) for _ in range(int(os.environ.get("MAAS_METERED_CALLS", "1000")))]
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(lambda item: gateway.send(user, item).status_code, asked))
    assert statuses == [item.status for item in asked]
    untimed = {"averageDurationMs": 0, "averageFirstEventMs": 0}
    assert gateway.settled(user, len(asked)) | untimed == sums(asked) | untimed
