"""Calls of known usage through a mesh's gateway as rendered, run by the real Envoy, and a collector to the service."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.support.metered import Wanted, sums, wanted
from tests.support.otelcol import Collector, binary, relay
from tests.support.place import WHO, Place, call, placed
from tests.support.rendered import CALLS, Counted, applied, bearer, client
from tests.support.wait import until

USAGE = "/internal/v1/usage"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with placed(tmp_path_factory.mktemp("mesh")) as found:
        yield found


@pytest.fixture(scope="module", params=["kuadrant-filter", "istio-filter", "istio-telemetry"])
def gateway(request: pytest.FixtureRequest, place: Place) -> Iterator[httpx.Client]:
    mode, metering = request.param.split("-")
    folder = place.folder / request.param
    folder.mkdir()
    with ExitStack() as stack:
        address = stack.enter_context(relay(place.site.service + USAGE, place.secret))
        running = applied(mode, place.site, folder, stack, counted=Counted(metering, address))
        stack.callback(running.stop)
        yield stack.enter_context(client(running))


KINDS = [
    Wanted("chat", False, 2006, 300, cached=1920, reasoning=200),
    Wanted("chat", True, 2006, 300, cached=1920, reasoning=200),
    Wanted("completions", True, 7, 3),
    Wanted("responses", True, 328, 52, cached=128, reasoning=40),
    Wanted("embeddings", False, 8, 0),
    Wanted("messages", False, 100_298, 503, cached=100_000, written=248),
    Wanted("messages", True, 100_298, 503, cached=100_000, written=248),
]


def counted(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if not name.startswith("average")}


def test_a_call_is_counted_to_the_token_and_a_model_sees_nothing_of_it(gateway: httpx.Client, place: Place) -> None:
    key = place.key()
    for asked in KINDS:
        response = call(gateway, key["key"], asked)
        assert response.status_code == 200, response.text
        provider = "anthropic" if asked.kind == "messages" else "openai"
        received = place.site.simulators[provider].received[-1]
        for headers in (received.headers, response.headers.items()):
            assert not [name for name, _ in headers if name.lower().startswith("x-maas-")]
    assert counted(place.settled(key, len(KINDS))) == sums(KINDS)
    url = f"{place.site.service}/v1/api-keys/{key['id']}/usage"
    params = {"interval": "total", "groupBy": "user,subscription,model,provider,endpoint"}
    rows = httpx.get(url, params=params, headers=WHO, trust_env=False).json()["data"]
    assert {row["endpoint"] for row in rows} == {item.kind for item in KINDS}
    assert {(row["user"], row["subscription"]) for row in rows} == {("alice", "gold")}
    assert {(row["model"], row["provider"]) for row in rows} == {
        (call["model"], name) for name, (_, call) in CALLS.items()
    }


def test_nobody_is_counted_as_another(gateway: httpx.Client, place: Place) -> None:
    key, other = place.key(), place.key()
    forged = {**bearer(key["key"]), "x-maas-metered-key": other["id"], "x-maas-metered-user": "carol"}
    path, body = CALLS["openai"]
    asked = {**body, "wanted": KINDS[0]._asdict()}
    for headers in (forged, {name: value for name, value in forged.items() if name != "Authorization"}):
        gateway.post(path, json=asked, headers=headers)
    call(gateway, key["key"], KINDS[0])
    until(lambda: place.total(key)["requests"] >= 1, what="the own call was counted", seconds=20)
    assert place.total(other)["requests"] == 0
    everything = httpx.get(
        f"{place.site.service}/v1/usage",
        params={"interval": "total"},
        headers={"X-MaaS-Username": "carol", "X-MaaS-Group": '["staff"]'},
        trust_env=False,
    )
    assert everything.json()["total"]["requests"] == 0


def test_a_platform_user_s_call_is_counted_without_a_key(gateway: httpx.Client, place: Place) -> None:
    bob = {"X-MaaS-Username": "bob", "X-MaaS-Group": '["staff"]'}

    def requests() -> int:
        found = httpx.get(f"{place.site.service}/v1/usage", params={"interval": "total"}, headers=bob, trust_env=False)
        return int(found.json()["total"]["requests"])

    before = requests()
    assert call(gateway, place.site.token, KINDS[0]).status_code == 200
    until(lambda: requests() == before + 1, what="the call was counted", seconds=20)


def test_a_call_at_the_root_is_counted_as_one(gateway: httpx.Client, place: Place) -> None:
    key = place.key()
    body = {**CALLS["openai"][1], "wanted": KINDS[0]._asdict()}
    answered = gateway.post("/v1/chat/completions", json=body, headers=bearer(key["key"]))
    assert answered.status_code == 200, answered.text
    assert counted(place.settled(key, 1)) == sums([KINDS[0]])


def test_of_a_stream_that_the_client_cuts_what_was_told_by_then_is_counted(gateway: httpx.Client, place: Place) -> None:
    key, asked = place.key(), Wanted("messages", True, 500, 90)
    body = {"model": CALLS["anthropic"][1]["model"], "stream": True, "wanted": asked._asdict(), "endless": True}
    path, headers = CALLS["anthropic"][0], bearer(key["key"])
    with gateway.stream("POST", path, json=body, headers=headers) as response:
        next(response.iter_raw())
    found = place.settled(key, 1)
    assert (found["interrupted"], found["inputTokens"], found["outputTokens"]) == (1, 500, 1)


def mixed(gateway: httpx.Client, key: dict[str, Any], number: int) -> list[Wanted]:
    """Many calls of all kinds at once; gives what they were."""
    rng = random.Random(number)
    asked = [wanted(rng) for _ in range(number)]
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda item: call(gateway, key["key"], item).status_code, asked))
    assert statuses == [item.status for item in asked]
    return asked


def test_mixed_calls_at_once_add_up_exactly(gateway: httpx.Client, place: Place) -> None:
    key = place.key()
    asked = mixed(gateway, key, int(os.environ.get("MAAS_MESH_CALLS", "200")))
    assert counted(place.settled(key, len(asked))) == sums(asked)


class Front:
    """Stands before the service's usage endpoint, and does with a batch as ``mode`` says: ``pass`` it, ``lose`` the
    answer to it, or be ``away`` (503)."""

    def __init__(self, target: str) -> None:
        self.mode, self.url, self.lost, self.refused = "pass", "", 0, 0
        self.bodies: list[bytes] = []
        self._target = target

    @contextmanager
    def running(self) -> Iterator[Front]:
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                mode = front.mode
                if mode == "away":
                    front.refused += 1
                    status, content = 503, b""
                else:
                    sent = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                    done = httpx.post(front._target, content=body, headers=sent, trust_env=False)
                    front.bodies.append(body)
                    status, content = done.status_code, done.content
                    if mode == "lose":
                        front.lost += 1
                        self.close_connection = True
                        return
                self.send_response(status)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_address[1]}{USAGE}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)


@dataclass
class Collected:
    gateway: httpx.Client
    front: Front
    collector: Collector


@pytest.fixture(scope="module")
def collected(place: Place) -> Iterator[Collected]:
    """A gateway whose log goes by a real collector."""
    binary()
    folder = place.folder / "collected"
    folder.mkdir()
    with ExitStack() as stack:
        front = stack.enter_context(Front(place.site.service + USAGE).running())
        collector = Collector(folder / "collector", front.url, place.secret)
        collector.start()
        stack.callback(collector.stop)
        running = applied("istio", place.site, folder, stack, counted=Counted("filter", collector.address))
        stack.callback(running.stop)
        yield Collected(stack.enter_context(client(running)), front, collector)


def test_by_a_real_collector_calls_add_up_exactly(collected: Collected, place: Place) -> None:
    """A thousand; ``MAAS_MESH_CALLS`` asks for more."""
    key = place.key()
    asked = mixed(collected.gateway, key, int(os.environ.get("MAAS_MESH_CALLS", "1000")))
    assert counted(place.settled(key, len(asked))) == sums(asked)


def test_a_batch_whose_answer_was_lost_is_sent_again_and_counted_once(collected: Collected, place: Place) -> None:
    key, front = place.key(), collected.front
    front.mode, front.lost, front.bodies = "lose", 0, []
    asked = mixed(collected.gateway, key, 40)
    until(lambda: front.lost >= 3, what="answers were lost", seconds=30)
    front.mode = "pass"
    until(lambda: len(front.bodies) > len(set(front.bodies)), what="the same bytes came again", seconds=30)
    later = mixed(collected.gateway, key, 1)  # behind them in the queue
    assert counted(place.settled(key, len(asked) + 1)) == sums([*asked, *later])


def test_what_waits_outlives_the_collector(collected: Collected, place: Place) -> None:
    key, front = place.key(), collected.front
    front.mode, front.refused = "away", 0
    asked = mixed(collected.gateway, key, 40)
    until(lambda: front.refused >= 2, what="the service was away", seconds=30)
    collected.collector.stop(kill=True)
    front.mode = "pass"
    assert place.total(key)["requests"] == 0
    collected.collector.start()
    assert counted(place.settled(key, len(asked))) == sums(asked)
