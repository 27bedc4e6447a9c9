"""The result is PASS only when everything was measured and held, and its table is aligned."""

from __future__ import annotations

from dataclasses import replace

from maas_api.demo.report import Finding, OneUrlRow, Report, Row, checklist, one_url_table, table

GOOD = Row("facebook/opt-125m", "Local (KServe)", "sk-oai-*", "To be ", passed=True)
BAD = Row(
    "gpt-4o-mini", "OpenAI", "sk-oai-*", "", passed=False, reason="POST /external/openai: 503 no healthy upstream"
)
AT_ROOT = OneUrlRow("claude-sonnet-5-5", "openai", "POST /v1/chat/completions", "Hello!", passed=True)
NOT_AT_ROOT = replace(AT_ROOT, passed=False, reason="POST /v1/chat/completions: 404")
URL = "http://127.0.0.1:8000"
HELD = Finding("no credential: 401", passed=True, measured="401 on 3 of 3 routes")
BROKEN = Finding("junk key: 401", passed=False, measured="expected 401, got 200")


def test_the_table_is_aligned_and_a_failure_has_its_reason_below() -> None:
    assert table([GOOD, BAD, GOOD]) == [
        "Model              Provider        Token     Response  Status",
        "-----------------  --------------  --------  --------  ------",
        'facebook/opt-125m  Local (KServe)  sk-oai-*  "To be "  PASS',
        'gpt-4o-mini        OpenAI          sk-oai-*  ""        FAIL',
        "  POST /external/openai: 503 no healthy upstream",
        'facebook/opt-125m  Local (KServe)  sk-oai-*  "To be "  PASS',
    ]


def test_the_checks_are_aligned() -> None:
    assert checklist([HELD, BROKEN]) == [
        "PASS  no credential: 401  401 on 3 of 3 routes",
        "FAIL  junk key: 401       expected 401, got 200",
    ]
    assert checklist([]) == []


def test_the_table_of_one_url_is_aligned_in_the_same_way() -> None:
    assert one_url_table([AT_ROOT, NOT_AT_ROOT]) == [
        "Model              SDK     Request                    Response  Status",
        "-----------------  ------  -------------------------  --------  ------",
        'claude-sonnet-5-5  openai  POST /v1/chat/completions  "Hello!"  PASS',
        'claude-sonnet-5-5  openai  POST /v1/chat/completions  "Hello!"  FAIL',
        "  POST /v1/chat/completions: 404",
    ]


def test_one_failure_anywhere_fails_the_whole() -> None:
    assert Report([GOOD], URL, [AT_ROOT], [HELD], 1.0).passed
    assert not Report([GOOD, BAD], URL, [AT_ROOT], [HELD], 1.0).passed
    assert not Report([GOOD], URL, [AT_ROOT, NOT_AT_ROOT], [HELD], 1.0).passed
    assert not Report([GOOD], URL, [AT_ROOT], [HELD, BROKEN], 1.0).passed


def test_nothing_measured_is_not_a_pass() -> None:
    assert not Report([], URL, [AT_ROOT], [HELD], 1.0).passed
    assert not Report([GOOD], URL, [], [HELD], 1.0).passed
    assert not Report([GOOD], URL, [AT_ROOT], [], 1.0).passed


def test_the_machine_readable_result_says_the_same() -> None:
    found = Report([GOOD, BAD], URL, [AT_ROOT, NOT_AT_ROOT], [HELD], 1.23456).as_json()
    assert found["passed"] is False
    assert found["seconds"] == 1.235
    assert [row["status"] for row in found["models"]] == ["PASS", "FAIL"]
    assert [row["status"] for row in found["one_url"]] == ["PASS", "FAIL"]
    assert found["checks"][0]["promise"] == HELD.promise
