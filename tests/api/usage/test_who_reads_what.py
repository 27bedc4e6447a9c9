"""A matrix of callers and questions about usage: whose calls each one is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api.usage.conftest import Api
from tests.support.contract import check
from tests.support.otlp import call

MATRIX = """
    question                    ann      ann-key  ann-limited  bob      bob-key  admin    admin-key  nobody  junk-key
    /usage                      a,l,p    a        l            b        b        all      r          401     401
    /usage scope=key            400      a        l            400      b        400      r          401     401
    /usage scope=user           a,l,p    a,l,p    403          b        b        r        r          401     401
    /usage scope=tenant         403      403      403          403      403      all      all        401     401
    /usage key=ann-key          a        a        403          -        403      a        403        401     401
    /usage key=none-such        -        403      403          -        403      -        403        401     401
    /usage key=ann-key,user     a        a        403          -        -        -        -          401     401
    /usage user=ann             a,l,p    a        l            403      403      a,l,p    403        401     401
    /usage user=bob             403      403      403          b        b        b        403        401     401
    /usage subscription=shared  a,l,p    a        l            b        b        all      r          401     401
    /ann-key/usage              a        a        404          404      404      a        404        401     401
    /ann-key/usage scope=user   a        a        404          404      404      a        404        401     401
    /ann-key/usage scope=tenant a        a        404          404      404      a        a          401     401
    /ann-limited/usage          l        404      l            404      404      l        404        401     401
    /bob-key/usage              404      404      404          b        b        b        404        401     401
    /none-such/usage            404      404      404          404      404      404      404        401     401
"""
"""Who is shown whose calls: of ann's keys a (unlimited) and l (with a budget), p (ann's without a key), of bob's key b,
of the admin's key r. ``-``: of nothing, with 200."""

CALLS = {
    "a": ("ann", "ann-key"),
    "l": ("ann", "ann-limited"),
    "p": ("ann", ""),
    "b": ("bob", "bob-key"),
    "r": ("root", "admin-key"),
}


@dataclass
class Cast:
    """Keys by the callers' names: their ids and secrets."""

    api: Api
    ids: Mapping[str, str]
    secrets: Mapping[str, str]
    names: Mapping[str, str]

    def headers(self, caller: str) -> dict[str, str]:
        """What the gateway passes on of a caller."""
        if caller == "nobody":
            return {}
        user = {"ann": "ann", "bob": "bob", "admin": "root", "junk": "ann"}[caller.partition("-")[0]]
        made = {"X-MaaS-Username": self.names[user], "X-MaaS-Group": '["team"]'}
        secret = "sk-oai-a_b" if caller == "junk-key" else self.secrets.get(caller, "")
        return made | ({"Authorization": f"Bearer {secret}"} if secret else {})


@pytest.fixture(scope="module")
def cast(api: Api) -> Cast:
    names = {"ann": "matrix-ann", "bob": "matrix-bob", "root": "root"}
    owners = {"ann-key": "ann", "ann-limited": "ann", "bob-key": "bob", "admin-key": "root"}
    more: dict[str, dict[str, Any]] = {"ann-limited": {"budget": {"tokens": 10**9, "per": "day"}}}
    made = {key: api.mint(key, user=names[owner], **more.get(key, {})) for key, owner in owners.items()}
    ids = {key: found["id"] for key, found in made.items()}
    api.count([call(user=names[user], key_id=ids.get(key), subscription="shared") for user, key in CALLS.values()])
    return Cast(api, ids, {key: found["key"] for key, found in made.items()}, names)


def cells() -> list[tuple[str, str, str]]:
    """(question, caller, what is expected), of every cell."""
    head, *rows = [line for line in MATRIX.splitlines() if line.strip()]
    callers = head.split()[1:]
    found = []
    for row in rows:
        fields = row.split()
        answers = fields[-len(callers) :]
        question = " ".join(fields[: -len(callers)])
        found += [(question, caller, answer) for caller, answer in zip(callers, answers, strict=True)]
    return found


@pytest.mark.parametrize(("question", "caller", "expected"), cells())
def test_a_caller_is_shown_what_is_theirs(cast: Cast, question: str, caller: str, expected: str) -> None:
    path, _, asked = question.partition(" ")
    query: dict[str, Any] = {"interval": "total", "groupBy": "user,key"}
    for part in filter(None, asked.split(",")):
        name, _, value = part.partition("=")
        query |= {"scope": "user"} if part == "user" else {name: cast.ids.get(value, cast.names.get(value, value))}
    _, *key, _ = path.split("/")
    place = f"/v1/api-keys/{cast.ids.get(key[0], key[0])}/usage" if key else "/v1/usage"
    answer = cast.api.http.get(place, params=query, headers=cast.headers(caller))
    if expected.isdigit():
        assert answer.status_code == int(expected), answer.text
        if expected != "401":
            check("GET", "/v1/api-keys/{id}/usage" if key else "/v1/usage", answer.status_code, answer.json())
        return
    assert answer.status_code == 200, answer.text
    known = {(cast.names[user], cast.ids.get(name, "")): letter for letter, (user, name) in CALLS.items()}
    shown = {known[line["user"], line["key"]] for line in answer.json()["data"] if (line["user"], line["key"]) in known}
    others = {line["user"] for line in answer.json()["data"]} - {*cast.names.values()}
    assert shown == {"all": set(CALLS), "-": set()}.get(expected, set(expected.split(",")))
    assert not others or expected == "all"


def test_no_secret_is_in_an_answer_or_a_refusal(cast: Cast) -> None:
    for question, caller, _ in cells():
        if caller in cast.secrets and question == "/usage":
            answer = cast.api.http.get("/v1/usage", headers=cast.headers(caller))
            assert cast.secrets[caller] not in answer.text
            assert cast.secrets[caller].rpartition("_")[2] not in answer.text


def test_a_key_does_not_speak_for_another_user_than_its_own(cast: Cast) -> None:
    headers = cast.headers("ann-key") | {"X-MaaS-Username": cast.names["bob"]}
    assert cast.api.http.get("/v1/usage", headers=headers).status_code == 401
