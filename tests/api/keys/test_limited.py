"""A key with an allow-list manages no keys: it could mint one without the limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.api.keys.conftest import Api

LIMITED = {"X-MaaS-Models": '["gpt-4o"]'}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/api-keys", {"name": "wider"}),
        ("POST", "/v1/api-keys", {"name": "as narrow", "models": ["gpt-4o"]}),
        ("POST", "/v1/api-keys/{id}/rotate", {}),
        ("DELETE", "/v1/api-keys/{id}", None),
        ("POST", "/v1/api-keys/bulk-revoke", {"username": "ann"}),
    ],
)
@pytest.mark.parametrize("models", ['["gpt-4o"]', "[]", '["*"]', "nonsense", ""])
def test_it_changes_none(api: Api, method: str, path: str, body: object, models: str) -> None:
    key = api.mint()
    answer = api.call(method, path.format(id=key["id"]), body, headers={"X-MaaS-Models": models})
    assert answer.status_code == 403
    assert answer.json()["code"] == "limited_key"
    assert api.validate(key["key"])["valid"] is True


def test_it_may_look(api: Api) -> None:
    key = api.mint()
    assert api.call("GET", f"/v1/api-keys/{key['id']}", headers=LIMITED).status_code == 200
    assert api.call("GET", "/v1/api-keys/config", headers=LIMITED).status_code == 200
    assert api.call("POST", "/v1/api-keys/search", {}, headers=LIMITED).status_code == 200
