"""Identity that is forged, paths that pretend, JSON that explodes: refused, without a fault and without a way in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from maas_api.app import build
from maas_api.config import load
from tests.support.raw import exchange
from tests.support.serving import serving

VALIDATE = "/internal/v1/api-keys/validate"
ALICE = (("X-MaaS-Username", "alice"), ("X-MaaS-Group", '["users"]'))
BODY = '{"key":"sk-oai-a_b","name":"x"}'
LAST = f"Content-Length: {len(BODY)}\r\nConnection: close\r\n\r\n{BODY}"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("hostile")
    flags = {
        "sqlite_path": str(folder / "keys.db"),
        "manifests": str(folder),
        "kubernetes": "off",
        "default_subscription": "default",
        "validation_deadline_ms": "5000",
    }
    with serving(build(load(flags, {}))) as url:
        yield url


@pytest.fixture
def client(base: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=base) as session:
        yield session


def owner(client: httpx.Client, *headers: tuple[str | bytes, str | bytes]) -> str | int:
    """Whose key these headers mint, or the status that refused them."""
    raw = [(_bytes(name), _bytes(value)) for name, value in headers]
    answer = client.post("/v1/api-keys", json={"name": "x"}, headers=raw)
    if answer.status_code != 201:
        return answer.status_code
    found = client.post(VALIDATE, json={"key": answer.json()["key"]}).json()
    return str(found["username"])


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


# Identity headers ---------------------------------------------------------------------------------------------------


def test_of_repeated_identity_headers_the_first_counts(client: httpx.Client) -> None:
    assert owner(client, *ALICE, ("X-MaaS-Username", "mallory"), ("X-MaaS-Group", '["admins"]')) == "alice"


@pytest.mark.parametrize("name", ["X_MaaS_Username", "X-MaaS_Username", "x_maas-username"])
def test_an_underscore_is_not_a_dash(client: httpx.Client, name: str) -> None:
    assert owner(client, (name, "mallory"), ALICE[1]) == 401
    assert owner(client, (name, "mallory"), *ALICE) == "alice"


def test_a_comma_in_a_username_is_part_of_it_and_not_a_second_user(client: httpx.Client) -> None:
    assert owner(client, ("X-MaaS-Username", "alice,mallory"), ALICE[1]) == "alice,mallory"


@pytest.mark.parametrize("groups", ['"admins"', "admins", '{"a":1}', "[]", '[" "]', "", "[", "null"])
def test_a_group_list_that_is_not_one_is_401(client: httpx.Client, groups: str) -> None:
    assert owner(client, ALICE[0], ("X-MaaS-Group", groups)) == 401


@pytest.mark.parametrize("groups", ['["a b"]', '["/a/b"]', '["ä"]'])
def test_an_odd_group_name_is_only_a_name(client: httpx.Client, groups: str) -> None:
    made = client.post(
        "/v1/api-keys",
        json={"name": "x"},
        headers={"X-MaaS-Username": "alice", "X-MaaS-Group": json.dumps(json.loads(groups))},
    )
    found = client.post(VALIDATE, json={"key": made.json()["key"]}).json()
    assert found["groups"] == json.loads(groups)


@pytest.mark.parametrize("groups", ['["a",1]', '["a\\u0000"]', '["a\\",\\"admins"]', '["users"],["admins"]'])
def test_a_group_name_that_could_be_read_as_another_is_400(client: httpx.Client, groups: str) -> None:
    assert owner(client, ALICE[0], ("X-MaaS-Group", groups)) == 400


@pytest.mark.parametrize("username", ["", " ", " \t "])
def test_a_blank_username_is_401(base: str, username: str) -> None:
    identity = f"X-MaaS-Username: {username}\r\nX-MaaS-Group: {ALICE[1][1]}\r\n"
    said = exchange(base, f"POST /v1/api-keys HTTP/1.1\r\nHost: x\r\n{identity}{LAST}".encode())
    assert said.statuses == [401]
    assert b'"refId":"001"' in said.data


@pytest.mark.parametrize("username", ["é".encode(), "é".encode("latin-1"), b"\xff\xfe", "用户".encode(), b"a\x7fb"])
def test_bytes_outside_ascii_neither_fault_nor_become_someone_else(client: httpx.Client, username: bytes) -> None:
    whose = owner(client, ("X-MaaS-Username", username), ALICE[1])
    assert whose in (400, 401) or (isinstance(whose, str) and whose != "alice" and len(whose) >= 1)


def test_a_huge_identity_is_refused_without_a_fault(client: httpx.Client) -> None:
    many = json.dumps([f"g{number}" for number in range(20_000)])
    assert owner(client, ALICE[0], ("X-MaaS-Group", many)) == 431
    deep = "[" * 30_000
    assert owner(client, ALICE[0], ("X-MaaS-Group", deep)) == 401
    assert owner(client, ("X-MaaS-Username", "a" * 60_000), ALICE[1]) in (400, 401, "a" * 60_000)


def test_half_an_identity_is_none(client: httpx.Client) -> None:
    for header in ALICE:
        assert owner(client, header) == 401
        assert client.post("/v1/api-keys/search", json={}, headers=dict([header])).status_code in (401, 404, 405)


# Paths --------------------------------------------------------------------------------------------------------------

FROM_OUTSIDE = {"X-Forwarded-For": "203.0.113.9", "X-Envoy-Original-Path": "/maas-api/x"}


@pytest.mark.parametrize(
    "path",
    [
        VALIDATE,
        VALIDATE + "/",
        "/" + VALIDATE,
        "//internal//v1//api-keys//validate",
        "/./internal/v1/api-keys/validate",
        "/v1/../internal/v1/api-keys/validate",
        "/v1/%2e%2e/internal/v1/api-keys/validate",
        "/v1/..%2finternal/v1/api-keys/validate",
        "/internal%2fv1/api-keys/validate",
        "/%69nternal/v1/api-keys/validate",
        "/%2569nternal/v1/api-keys/validate",
        "/INTERNAL/v1/api-keys/validate",
        "/internal;x/v1/api-keys/validate",
        "/internal\\v1\\api-keys\\validate",
        "/internal/v1/api-keys/validate%00",
        "/internal/v1/api-keys/validate?x",
        "/maas-api/internal/v1/api-keys/validate",
        "/internal/v1/authz/v1/models",
        "/internal/v1/subscriptions/select",
    ],
)
def test_no_spelling_of_an_internal_path_works_from_outside(base: str, path: str) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in FROM_OUTSIDE.items())
    said = exchange(base, f"POST {path} HTTP/1.1\r\nHost: x\r\n{lines}{LAST}".encode())
    assert said.statuses[0] in (307, 400, 404, 405), said.data
    assert b'"valid"' not in said.data


@pytest.mark.parametrize(
    "path", ["/%00", "/%ff%fe", "/v1/models/%00", "/v1/models/" + "a/" * 5000, "/v1/api-keys/%0d%0aX:y"]
)
def test_strange_paths_are_unknown_paths(client: httpx.Client, path: str) -> None:
    answer = client.get(path, headers={**dict(ALICE), "Authorization": "Bearer x"})
    assert answer.status_code in (400, 401, 404)
    assert "x" not in answer.headers
    assert answer.json()["error"]


def test_a_redirect_never_leaves_this_host(client: httpx.Client) -> None:
    for path in ("//evil.example/health/", "/health//", "/%2f%2fevil.example/", "/\\evil.example/health/"):
        location = client.get(path).headers.get("location", "/")
        assert location.startswith("/")
        assert not location.startswith(("//", "/\\"))


def test_a_request_id_cannot_inject_a_header(client: httpx.Client, base: str) -> None:
    answer = client.get("/health", headers={"X-Request-ID": quote("a\r\nSet-Cookie: b")})
    assert "set-cookie" not in answer.headers
    assert "%" not in answer.headers["x-request-id"]


# JSON ---------------------------------------------------------------------------------------------------------------

BOMBS = {
    "deep lists": b"[" * 100_000,
    "deep and closed": b"[" * 50_000 + b"]" * 50_000,
    "deep objects": b'{"a":' * 20_000,
    "deep inside a known field": b'{"name":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    "a long integer": b'{"name":"x","expiresIn":' + b"9" * 100_000 + b"}",
    "a long exponent": b'{"name":"x","expiresIn":1e' + b"9" * 1000 + b"}",
    "infinity": b'{"name":"x","expiresIn":Infinity}',
    "not a number": b'{"name":"x","expiresIn":NaN}',
    "minus infinity": b'{"name":"x","expiresIn":-Infinity}',
    "a boolean for a number": b'{"name":"x","expiresIn":true}',
    "a zero character": b'{"name":"\\u0000"}',
    "UTF-16": '{"name":"x"}'.encode("utf-16"),
    "only a byte order mark": b"\xef\xbb\xbf",
    "a bare string": b'"x"',
    "null": b"null",
    "nothing": b"",
    "an unclosed string": b'{"name":"',
    "labels without end": b'{"name":"x","labels":{' + b",".join(b'"k%d":"v"' % n for n in range(5000)) + b"}}",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_hostile_json_is_a_400_that_says_why(client: httpx.Client, bomb: str) -> None:
    answer = client.post("/v1/api-keys", content=BOMBS[bomb], headers=dict(ALICE))
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]


@pytest.mark.parametrize("bomb", BOMBS)
def test_the_same_is_a_definite_no_for_the_callbacks(client: httpx.Client, bomb: str) -> None:
    answer = client.post(VALIDATE, content=BOMBS[bomb])
    assert (answer.status_code, answer.json()) == (400, {"error": "key is required"})
    answer = client.post("/internal/v1/subscriptions/select", content=BOMBS[bomb])
    assert answer.status_code == 200
    assert answer.json().get("error")


def test_of_duplicate_fields_one_counts_and_none_slips_past_the_rules(client: httpx.Client) -> None:
    answer = client.post("/v1/api-keys", content=b'{"name":"ok","name":"bad\\u0007"}', headers=dict(ALICE))
    assert answer.status_code == 400
    answer = client.post("/v1/api-keys", content=b'{"name":"ok","NAME":"' + b"a" * 200 + b'"}', headers=dict(ALICE))
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "key", ["ѕk-oai-abc_def", "sk-oai-аbc_def", "sk-oai-abc_def\n", " sk-oai-abc_def", "sk-oai-abc_d\u200bef"]
)
def test_a_key_that_only_looks_right_is_malformed(client: httpx.Client, key: str) -> None:
    assert client.post(VALIDATE, json={"key": key}).json()["reason"] == "invalid key format"


@pytest.mark.parametrize("name", [b"\xff", b"\\ud800"], ids=["not UTF-8", "half a surrogate pair"])
def test_what_is_no_character_becomes_the_replacement_character_as_in_the_go_service(
    client: httpx.Client, name: bytes
) -> None:
    answer = client.post("/v1/api-keys", content=b'{"name":"a' + name + b'"}', headers=dict(ALICE))
    assert (answer.status_code, answer.json()["name"]) == (201, "a\ufffd")


def test_names_in_any_script_are_kept_as_given(client: httpx.Client) -> None:
    for name in ("ключ", "鍵", "🔑 zażółć", "e\u0301"):
        answer = client.post("/v1/api-keys", json={"name": name}, headers=dict(ALICE))
        assert answer.json()["name"] == name
