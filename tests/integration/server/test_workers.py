"""Several worker processes behave as one service: one set of numbers, no lost key, an orderly end."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.ports import free_port
from tests.support.process import USER, Running, mint, running
from tests.support.wait import until

MEMORY = Path("/dev/shm")
VALIDATE = "/internal/v1/api-keys/validate"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("workers"), "--workers", "4") as started:
        yield started


def test_a_scrape_under_four_workers_equals_what_was_sent(service: Running) -> None:
    key = mint(service)
    before = service.scrape()
    sent = {"valid": 300, "invalid": 120, "unmatched": 80}
    bodies = [json.dumps({"key": key})] * sent["valid"] + [json.dumps({"key": "sk-oai-a_b"})] * sent["invalid"]

    def work(part: int) -> set[int]:
        # A connection for every few requests, so that every worker gets its share.
        seen = set()
        for start in range(part * 10, len(bodies), 80):
            with httpx.Client(base_url=service.url) as client:
                for body in bodies[start : start + 10]:
                    seen.add(client.post(VALIDATE, content=body).status_code)
                for _ in range(10 if start < 8 * 10 else 0):
                    seen.add(client.get("/no/such").status_code)
        return seen

    with ThreadPoolExecutor(8) as pool:
        seen = set().union(*pool.map(work, range(8)))
    assert seen == {200, 404}

    def grown() -> dict[str, float]:
        now = service.scrape()

        def sum_of(name: str, **labels: str) -> float:
            wanted = labels.items()
            return sum(now[at] - before.get(at, 0) for at in now if at[0] == name and wanted <= at[1])

        return {
            "valid": sum_of("maas_api_key_validation_total", result="valid"),
            "invalid": sum_of("maas_api_key_validation_total", result="invalid"),
            "unmatched": sum_of("maas_api_http_requests_total", route="unmatched", status="404"),
            "callbacks": sum_of("maas_api_http_requests_total", route=VALIDATE, method="POST", status="200"),
            "timed": sum_of("maas_api_http_request_duration_seconds_count", route=VALIDATE),
        }

    calls = sent["valid"] + sent["invalid"]
    expected = {**sent, "callbacks": calls, "timed": calls}
    until(lambda: grown() == expected, what="the scrape equals what was sent", seconds=5)
    assert service.metric("maas_api_workers") == 4


def test_a_killed_worker_is_replaced_and_loses_neither_a_key_nor_a_count(service: Running) -> None:
    keys = [mint(service, f"before-{number}") for number in range(10)]
    minted = until(
        lambda: service.metric("maas_api_token_mint_total", result="success") >= 10, what="the mints are published"
    )
    counted = service.metric("maas_api_token_mint_total", result="success")
    victim = service.workers()[0]

    os.kill(victim, signal.SIGKILL)

    until(lambda: victim not in service.workers() and len(service.workers()) == 4, what="a new worker runs")
    assert minted
    for key in keys:
        answer = httpx.post(service.url + VALIDATE, json={"key": key})
        assert answer.json()["valid"] is True
    assert service.metric("maas_api_token_mint_total", result="success") >= counted
    until(lambda: service.metric("maas_api_workers") == 4, what="four workers are counted")


def test_a_second_instance_on_the_same_port_says_so_in_one_sentence(service: Running, tmp_path: Path) -> None:
    with running(tmp_path, "--address", f"127.0.0.1:{service.port}", wait=False) as second:
        assert second.process.wait(20) == 1
        said = [line for line in second.log().splitlines() if "already in use" in line]
    assert said == [
        f"Error: 127.0.0.1:{service.port} is already in use, perhaps by another maas-api: stop it or choose another "
        "address (option --address, environment ADDRESS)"
    ]
    assert httpx.get(service.url + "/health").status_code == 200


def test_sigterm_says_no_to_probes_and_serves_what_still_comes_then_ends(tmp_path: Path) -> None:
    with running(tmp_path, "--workers", "2", "--drain-seconds", "1", "--last-used-flush-seconds", "600") as draining:
        minted = httpx.post(draining.url + "/v1/api-keys", json={"name": "used once"}, headers=USER).json()
        key = minted["key"]
        with httpx.Client(base_url=draining.url) as kept:
            assert kept.post(VALIDATE, json={"key": key}).json()["valid"] is True
            draining.process.terminate()
            until(lambda: kept.get("/readyz").status_code == 503, what="readiness says no", seconds=1)
            answer = kept.post(VALIDATE, json={"key": key})
            assert answer.json()["valid"] is True
            assert answer.headers["connection"] == "close"
        assert draining.process.wait(15) == 0
        log = draining.log()
        assert "Traceback" not in log
        assert "SIGKILL" not in log
    with running(tmp_path) as again:
        found = httpx.get(f"{again.url}/v1/api-keys/{minted['id']}", headers=USER).json()
        assert found["lastUsedAt"], "the last use was not written before the end"


def test_a_request_in_flight_at_sigterm_is_answered(tmp_path: Path) -> None:
    body = json.dumps({"name": "slowly-sent"}).encode()
    with running(tmp_path, "--workers", "1") as service, httpx.Client(base_url=service.url) as client:
        half_sent, finish = threading.Event(), threading.Event()

        def pieces() -> Iterator[bytes]:
            yield body[:5]
            half_sent.set()
            finish.wait(10)
            yield body[5:]

        with ThreadPoolExecutor(1) as pool:
            pending = pool.submit(
                client.post, "/v1/api-keys", content=pieces(), headers={**USER, "Content-Length": str(len(body))}
            )
            assert half_sent.wait(10)
            until(lambda: service.metric("maas_api_http_connections") >= 1, what="the connection is counted")
            service.process.terminate()
            until(lambda: _refused(service), what="new connections are refused")
            finish.set()
            answer = pending.result(10)
        assert answer.status_code == 201
        assert service.process.wait(15) == 0


def _refused(service: Running) -> bool:
    try:
        httpx.get(service.url + "/health")
    except httpx.TransportError:
        return True
    return False


def test_workers_end_when_their_master_is_killed_and_leave_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path, "--workers", "2") as service:
        workers = service.workers()
        (folder,) = {path.parent for pid in workers for path in MEMORY.glob(f"maas-api-*/{pid}-*.json")}
        service.process.kill()
        service.process.wait(5)
        until(lambda: not any(_alive(pid) for pid in workers), what="the workers have ended")
        assert not folder.exists()


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("to_all", [True, False], ids=["as a terminal does it", "to the master alone"])
def test_an_interrupt_ends_it_without_a_warning(tmp_path: Path, to_all: bool) -> None:
    """The terminal sends SIGINT to the master and the workers alike, ``kill`` to one of them."""
    with running(tmp_path, "--workers", "2") as service:
        (os.killpg if to_all else os.kill)(service.process.pid, signal.SIGINT)
        assert service.process.wait(20) == 0
        lines = [json.loads(line) for line in service.log().splitlines()]
    assert [line for line in lines if line["level"] != "info" or "rror" in line["message"]] == []


def serving(folder: Path) -> list[int]:
    """Every process of a service over ``folder``: workers are forks, they keep their master's command line."""
    return [
        each.pid for each in psutil.process_iter(["cmdline"]) if str(folder / "keys.db") in (each.info["cmdline"] or ())
    ]


def test_a_service_over_a_folder_is_found_by_its_command_line(tmp_path: Path) -> None:
    with running(tmp_path, "--workers", "2") as service:
        until(lambda: len(service.workers()) == 2, what="the second worker is there")
        assert set(serving(tmp_path)) == {service.process.pid, *service.workers()}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--workers", "none"), "must be a whole number from 1 to 64"),
        (("--tls-cert", "/nowhere.pem", "--tls-key", "/nowhere.pem"), "no file at '/nowhere.pem'"),
        (("--tokens-file", __file__), "--tokens-file"),
        (("--database-url", "postgresql://nobody@127.0.0.1:1/x"), "the database cannot be reached"),
    ],
)
def test_a_wrong_configuration_is_refused_with_one_sentence(
    tmp_path: Path, flags: tuple[str, ...], sentence: str
) -> None:
    with running(tmp_path, *flags, wait=False) as service:
        assert service.process.wait(30) != 0
        said = service.log()
    assert sentence in said
    assert "Traceback" not in said
    assert serving(tmp_path) == []


def test_the_metrics_port_can_be_turned_off(tmp_path: Path) -> None:
    with running(tmp_path, "--metrics-port", "0", "--workers", "1") as service:
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{service.metrics_port}/metrics")
        assert httpx.get(service.url + "/health").status_code == 200
        assert free_port()
