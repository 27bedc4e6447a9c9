"""Adding up worker processes: nothing counted twice, nothing lost, one page with the promised names."""

from __future__ import annotations

import json
import os
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from maas_api.observability import exposition, metrics
from maas_api.observability.exposition import Folder, Publisher
from maas_api.observability.listener import AT_ONCE, PATIENCE_SECONDS, BindError, MetricsListener, bind

VALID = metrics.validations.name
HTTP = metrics.http_requests.name
CHANNEL = metrics.channel_up.name
MODELS = metrics.catalog_models.name
WORKERS = metrics.workers.name


def page() -> set[str]:
    """Every sample of this process's page, as name and labels."""
    text = generate_latest(exposition.registry(None, "acme")).decode()
    return {
        sample(found.name, **found.labels)
        for family in text_string_to_metric_families(text)
        for found in family.samples
    }


def sample(name: str, **labels: str) -> str:
    return name + json.dumps(labels, sort_keys=True)


def write(folder: Folder, pid: int, state: exposition.State) -> None:
    encoded = {name: list(series.items()) for name, series in state.items()}
    file(folder, pid).write_text(json.dumps(encoded))


def file(folder: Folder, pid: int) -> Path:
    return folder.path / f"{pid}-1.json"


def test_processes_add_up_by_the_rule_of_each_metric(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    write(folder, 1, {VALID: {("valid",): [3]}, CHANNEL: {(): [1]}, MODELS: {(): [4]}})
    write(folder, 2, {VALID: {("valid",): [4]}, CHANNEL: {(): [0]}, MODELS: {(): [5]}})

    total = folder.total()

    assert total[VALID][("valid",)] == [7]
    assert total[CHANNEL][()] == [0]
    assert total[MODELS][()] == [5]


def test_a_worker_that_ends_leaves_its_counters_and_takes_its_gauges(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    state: exposition.State = {VALID: {("valid",): [10]}, WORKERS: {(): [1]}, HTTP: {("GET", "/x", "200"): [1] * 17}}
    write(folder, 1, state)
    write(folder, 2, state)

    folder.retire(1)
    folder.retire(1)  # told twice: folded once

    total = folder.total()
    assert total[VALID][("valid",)] == [20]
    assert total[WORKERS][()] == [1]
    assert total[HTTP][("GET", "/x", "200")] == [2] * 17
    folder.retire(2)
    assert folder.total()[VALID][("valid",)] == [20]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["departed.json"]


def test_a_scrape_in_the_middle_of_a_retirement_counts_once(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    write(folder, 1, {VALID: {("valid",): [10]}})
    kept = file(folder, 1).read_text()
    folder.retire(1)
    file(folder, 1).write_text(kept)  # folded, and its file not yet removed
    assert folder.total()[VALID][("valid",)] == [10]


def test_a_pid_that_comes_again_is_another_process(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    write(folder, 1, {VALID: {("valid",): [10]}})
    folder.retire(1)
    (tmp_path / "1-2.json").write_text(json.dumps({VALID: [(["valid"], [1])]}))
    assert folder.total()[VALID][("valid",)] == [11]


def test_publisher_writes_zeros_at_once_and_the_last_numbers_when_it_stops(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    publisher = Publisher(folder, every=60)
    publisher.start()
    before = folder.total()[VALID][("valid",)][0]
    metrics.validations.labels("valid").inc(5)
    publisher.stop()
    publisher.stop()
    assert folder.total()[VALID][("valid",)][0] >= before + 5
    assert folder.own().exists()
    assert folder.own().name.startswith(f"{os.getpid()}-")


def test_the_go_service_s_names_and_labels_are_kept() -> None:
    metrics.http_requests.labels("GET", "/v1/models", "200").observe(0.02)
    http = {"method": "GET", "route": "/v1/models", "status": "200", "tenant_name": "acme"}
    names = page()
    assert sample("maas_api_http_requests_total", **http) in names
    for le in ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"):
        le_as_read = le if le == "+Inf" else str(float(le))  # the parser normalises, as Prometheus 3 does
        bucket = sample("maas_api_http_request_duration_seconds_bucket", le=le, **http)
        assert bucket in names or bucket.replace(f'"{le}"', f'"{le_as_read}"') in names
    assert sample("maas_api_http_requests_in_flight", method="GET") in names
    assert sample("maas_api_key_validation_total", result="valid", tenant_name="acme") in names
    assert sample("maas_api_key_validation_total", result="invalid", tenant_name="") in names
    assert sample("maas_api_key_validation_total", result="error", tenant_name="acme") in names
    for result in ("success", "rejected", "failure"):
        assert sample("maas_api_token_mint_total", result=result, tenant_name="acme") in names
    assert sample("sar_cache_hits_total") in names
    assert sample("sar_cache_misses_total") in names


def test_every_metric_has_a_sentence_and_a_conventional_name() -> None:
    table = metrics.table()
    assert len({item.name for item in table}) == len(table) > 35
    for item in table:
        assert re.fullmatch(r"(maas_api|sar_cache|process)_[a-z_]+", item.name)
        assert item.help.endswith("."), item.name
        assert item.name.endswith("_total") == (type(item).__name__ == "Counter"), item.name


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    folder = Folder(tmp_path)
    folder.publish()
    sock = bind("127.0.0.1", 0, "--metrics-port")
    listener = MetricsListener(sock, exposition.registry(folder, "acme"))
    listener.start()
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    listener.stop()
    sock.close()


def test_the_listener_serves_metrics_and_nothing_else(served: str) -> None:
    with urllib.request.urlopen(served + "/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert b"maas_api_key_validation_total" in answer.read()
    with pytest.raises(urllib.error.HTTPError, match="404") as refused:
        urllib.request.urlopen(served + "/")
    refused.value.close()


def test_connections_that_say_nothing_keep_no_scrape_waiting(served: str) -> None:
    address = urlsplit(served)
    with ExitStack() as silent:
        for _ in range(2 * AT_ONCE):
            silent.enter_context(socket.create_connection((address.hostname, address.port), 5))
        with urllib.request.urlopen(served + "/metrics", timeout=PATIENCE_SECONDS * 0.75) as answer:
            assert answer.status == 200


def test_openmetrics_is_given_to_those_who_ask(served: str) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    with urllib.request.urlopen(urllib.request.Request(served + "/metrics", headers=accept)) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
        assert answer.read().endswith(b"# EOF\n")


def test_a_taken_port_is_refused_in_one_sentence_naming_the_option() -> None:
    sock = bind("127.0.0.1", 0, "--metrics-port")
    port = sock.getsockname()[1]
    try:
        with pytest.raises(BindError, match=rf"^127.0.0.1:{port} is already in use.*--metrics-port"):
            bind("127.0.0.1", port, "--metrics-port (METRICS_PORT)")
    finally:
        sock.close()
