"""This service beside the Go service's answers: what differs is documented, what is documented differs."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import yaml

from maas_api.app import build
from maas_api.config import load
from maas_api.keys import format as key_format
from maas_api.store.database import open_database
from maas_api.store.tables import api_keys
from tests.support.kubernetes import ROOT
from tests.support.serving import serving
from tests.support.wait import until
from tests.unit.subscriptions.objects import model_ref, policy, reference, subscription

ANSWERS: list[dict[str, Any]] = yaml.safe_load((ROOT / "tests/golden/go_answers.yaml").read_text())
PAGE = (ROOT / "docs/departures.md").read_text()
DOCUMENTED = set(re.findall(r"^\| `([a-z0-9-]+)` \|", PAGE, re.MULTILINE))
HELD_BY = {
    "transient-faults": "tests/integration/validation/test_outage.py",
    "ambiguous-names": "tests/unit/subscriptions/test_select.py",
    "kserve-listing": "tests/unit/models/test_kserve.py",
    "registry-entries": "tests/unit/models/test_registry.py",
    "database-url": "tests/unit/test_settings.py",
    "check-constraint": "tests/integration/store/test_migrations.py",
}
"""Departures that no single question shows: the tests that hold them."""

ALICE = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["team-a"]'}


@pytest.fixture(scope="module")
def keys() -> dict[str, str]:
    """Keys by their names in the answers."""
    made, odd = key_format.make(), key_format.make()
    last = "a" if made.plaintext[-1] != "a" else "b"
    return {
        "odd": odd.plaintext,
        "odd-hash": odd.hash,
        "short": "sk-oai-" + "a_b",
        "mistyped": made.plaintext[:-1] + last,
        "older": "sk-oai-" + "".join(secrets.choice("abcdefgh") for _ in range(43)),
    }


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, str]) -> Iterator[httpx.Client]:
    """The service with Alice's subscriptions: gold opens opt, its twin and llama, the policy opens the first two."""
    folder: Path = tmp_path_factory.mktemp("departures")
    gold = [reference("opt"), reference("twin"), reference("llama")]
    objects = [
        subscription("gold", users=("alice",), models=gold, priority=5),
        subscription("twins", users=("dave",), models=[reference("opt"), reference("twin")]),
        subscription("all", users=("dave",), models=[]),
        subscription("failed", users=("alice",), models=[reference("llama")], phase="Failed"),
        subscription("foreign", users=("bob",)),
        policy("opens", "opt", "twin", users=("alice", "dave")),
        model_ref("opt", alias="publishers/llm/models/opt"),
        model_ref("twin", alias="publishers/llm/models/opt"),
        model_ref("llama", alias="publishers/llm/models/llama"),
        model_ref("secret"),
    ]
    manifests = folder / "manifests"
    manifests.mkdir()
    (manifests / "all.yaml").write_text(yaml.safe_dump_all(objects))
    flags = {
        "sqlite_path": str(folder / "keys.db"),
        "manifests": str(manifests),
        "kubernetes": "off",
        "source_maasmodelrefs": "auto",
        "validation_deadline_ms": "9000",
    }
    with serving(build(load(flags, {}))) as base, httpx.Client(base_url=base, headers=ALICE) as made:
        until(lambda: made.get("/readyz").status_code == 200, what="the service is ready")
        for who in ("alice", "bob"):
            headers = {"X-MaaS-Username": who}
            minted = made.post("/v1/api-keys", headers=headers, json={"name": "made"})
            assert minted.status_code == 201, minted.text
            keys.setdefault("key", minted.json()["key"])
        _add_a_key_with_an_odd_id(folder / "keys.db", keys["odd-hash"])
        yield made


def _add_a_key_with_an_odd_id(path: Path, digest: str) -> None:
    database = open_database(f"sqlite:///{path}", max_open=1, max_idle=1, max_lifetime=60)
    with database.engine.begin() as connection:
        row = dict(connection.execute(sa.select(api_keys).limit(1)).mappings().one())
        connection.execute(sa.insert(api_keys).values({**row, "id": "no-uuid", "key_hash": digest}))
    database.engine.dispose()


def ask(client: httpx.Client, request: dict[str, Any], keys: dict[str, str]) -> httpx.Response:
    """The answer to a question of the file."""
    headers = {} if request.get("as") == "nobody" else {**ALICE, **request.get("headers", {})}
    if request.get("as") == "nobody":
        headers = request.get("headers", {})
    content = b"x" * request["fill"] if "fill" in request else None
    body = request.get("json")
    if body is not None and isinstance(body.get("key"), str):
        body = {"key": re.sub(r"^\{(\w+)\}$", lambda found: keys[found[1]], body["key"])}
    url = client.base_url.copy_with(raw_path=request["path"].encode())
    with httpx.Client() as plain:
        built = plain.build_request(request["method"], url, headers=headers, json=body, content=content)
        return plain.send(built)


def same(answer: httpx.Response, go: dict[str, Any]) -> bool:
    """Whether an answer is the Go service's, as far as that is written down."""
    checks = [answer.status_code == go["status"]]
    if "text" in go:
        checks.append(answer.text == go["text"])
    for name, value in go.get("headers", {}).items():
        checks.append(answer.headers.get(name) == value)
    if all(checks) and {"json", "has", "ids"} & go.keys():
        body = answer.json()
        checks.append("json" not in go or body == go["json"])
        checks += [_contains(body, go["has"])] if "has" in go else []
        checks += [[entry["id"] for entry in body["data"]] == go["ids"]] if "ids" in go else []
    return all(checks)


def _contains(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_contains(found.get(name), value) for name, value in wanted.items())
    return bool(found == wanted)


@pytest.mark.parametrize("case", ANSWERS, ids=lambda case: str(case["does"]))
def test_an_answer_is_the_go_services_or_a_documented_departure(
    client: httpx.Client, keys: dict[str, str], case: dict[str, Any]
) -> None:
    answer = ask(client, case["request"], keys)
    seen = (answer.status_code, answer.headers, answer.text[:500])
    assert same(answer, case["go"]) is ("departure" not in case), seen
    assert same(answer, case.get("here", case["go"])), seen


def test_every_departure_is_documented_and_every_documented_one_is_held() -> None:
    shown = {case["departure"] for case in ANSWERS if "departure" in case}
    assert shown | HELD_BY.keys() == DOCUMENTED
    assert all((ROOT / path).is_file() for path in HELD_BY.values())
