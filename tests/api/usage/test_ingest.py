"""What the gateway posts: who may, what is counted, and that nothing is counted twice."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from maas_api.observability import metrics
from tests.api.usage.conftest import INGEST, SECRET, Api
from tests.support import otlp
from tests.support.otlp import batch, call

_users = (f"caller-{number}" for number in itertools.count())


def total(api: Api, user: str) -> dict[str, int]:
    found: dict[str, int] = api.usage(user=user)["total"]
    return found


def test_what_is_answered_200_is_in_the_database(api: Api) -> None:
    user = next(_users)
    answer = api.post(batch([call(user=user), call(user=user, usage={})]))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-protobuf")
    with api.database.reading() as connection:
        row = connection.execute(
            sa.text("SELECT requests, unmetered, input, output FROM maas_usage WHERE username = :user"), {"user": user}
        ).one()
    assert tuple(row) == (2, 1, 10, 5)


def test_batches_add_up_in_the_hour_s_row(api: Api) -> None:
    user = next(_users)
    for _ in range(3):
        api.count([call(user=user)] * 4)
    found = total(api, user)
    assert (found["requests"], found["inputTokens"], found["outputTokens"], found["totalTokens"]) == (12, 120, 60, 180)


def test_a_batch_sent_again_is_counted_once(api: Api) -> None:
    user = next(_users)
    body = batch([call(user=user)] * 5)
    repeated = metrics.usage_records.labels("repeated").value
    assert [api.post(body).status_code for _ in range(3)] == [200, 200, 200]
    assert api.post(body, zipped=True).status_code == 200
    assert total(api, user)["requests"] == 5
    assert metrics.usage_records.labels("repeated").value == repeated + 15


def test_a_batch_whose_records_have_no_time_is_counted_each_time(api: Api) -> None:
    user = next(_users)
    body = batch([call(user=user)], at=0)
    api.post(body)
    api.post(body)
    assert total(api, user)["requests"] == 2


def test_batches_at_once_on_the_same_rows_lose_nothing(api: Api) -> None:
    user = next(_users)
    models = [f"model-{number}" for number in range(20)]
    calls = [call(user=user, model=model) for model in models]
    bodies = [batch(calls if number % 2 else calls[::-1], at=time.time() - number) for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        assert {answer.status_code for answer in pool.map(api.post, bodies)} == {200}
    found = api.usage(user=user, groupBy="model", interval="total")["data"]
    assert {line["model"]: line["requests"] for line in found} == dict.fromkeys(models, 24)


def test_records_of_nobody_are_skipped(api: Api) -> None:
    user = next(_users)
    skipped = metrics.usage_records.labels("skipped").value
    api.count([call(user=user), call(user=None, key_id=None)])
    assert total(api, user)["requests"] == 1
    assert metrics.usage_records.labels("skipped").value == skipped + 1


def test_the_counters_by_subscription_and_model(api: Api) -> None:
    said = {"user": next(_users), "subscription": "counted", "model": "m"}
    usage = {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details.cached_tokens": 3}
    tokens = {kind: metrics.usage_tokens.labels("counted", "m", kind) for kind in ("input", "cached", "output")}
    calls = {kind: metrics.usage_requests.labels("counted", "m", kind) for kind in ("metered", "unmetered", "error")}
    before = {kind: series.value for kind, series in (tokens | calls).items()}
    api.count([call(**said, usage=usage), *[call(**said, usage={})] * 2, *[call(**said, status=429, usage={})] * 3])
    grown = {kind: series.value - before[kind] for kind, series in (tokens | calls).items()}
    assert grown == {"input": 9, "cached": 3, "output": 4, "metered": 1, "unmetered": 2, "error": 3}


@pytest.mark.parametrize("path", [INGEST, INGEST + "/", "/internal//v1/usage", "/internal/v1/%75sage"])
def test_without_the_secret_nobody_writes_usage(api: Api, path: str) -> None:
    body = batch([call(user="victim")])
    for headers in ({}, {"X-MaaS-Internal-Secret": "guess"}, {"x-forwarded-for": "10.0.0.1"}):
        answer = api.http.post(path, content=body, headers={**otlp.HEADERS, **headers})
        assert answer.status_code in (401, 404)
    assert total(api, "victim")["requests"] == 0


def test_the_other_internal_endpoints_still_refuse_what_came_through_a_gateway(api: Api) -> None:
    headers = {**SECRET, "x-forwarded-for": "10.0.0.1"}
    assert api.http.post("/internal/v1/api-keys/validate", json={"key": "x"}, headers=headers).status_code == 404


def test_a_body_that_is_no_batch_is_refused_for_good(api: Api) -> None:
    assert api.post(b"\xff\xff").status_code == 400
    assert api.post(b"plain", **{"Content-Encoding": "gzip"}).status_code == 400
    assert api.post(batch([call()]), **{"Content-Encoding": "br"}).status_code == 400
    assert api.post(b"{}", **{"Content-Type": "application/json"}).status_code == 415
    assert api.post(b"").status_code == 200  # an export request with nothing in it
    bomb = batch([call(model="x" * 1000)] * 3000)
    assert len(bomb) > 2 * 1024 * 1024
    refused = api.post(bomb, zipped=True)
    assert refused.status_code == 400
    assert refused.json() == {"error": "the body must not exceed 2097152 bytes once unpacked"}
