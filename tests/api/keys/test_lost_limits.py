"""A key whose limits are lost opens nothing, whatever became of the tables that hold them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

from maas_api.migrations import marking
from maas_api.store.limits import LABEL
from tests.support.wait import until

if TYPE_CHECKING:
    from tests.api.keys.conftest import Api

MODELS, BUDGET = {"models": ["gpt-4o"]}, {"budget": {"tokens": 100, "per": "day"}}
LOST = {"valid": False, "tenant": "", "reason": "key's limits are lost"}
TABLES = {"models": "maas_key_models", "budget": "maas_key_budgets"}

limits = pytest.mark.parametrize("limit", ["models", "budget"])


def limited(api: Api, *names: str, **fields: Any) -> dict[str, Any]:
    for name in names:
        fields |= MODELS if name == "models" else BUDGET
    return api.mint(**fields)


def lose(api: Api, limit: str, key: dict[str, Any]) -> None:
    api.sql(f"DELETE FROM {TABLES[limit]} WHERE key_id = :id", id=key["id"])
    api.sql("UPDATE api_keys SET name = 'restored' WHERE id = :id", id=key["id"])  # which tells the workers


def refused(api: Api, key: dict[str, Any]) -> None:
    until(lambda: api.validate(key["key"]) == LOST, what="the key is refused")


def stored(api: Api, key: dict[str, Any]) -> dict[str, str]:
    with api.database.reading() as connection:
        labels = connection.execute(sa.text("SELECT labels FROM api_keys WHERE id = :id"), {"id": key["id"]}).scalar()
    return json.loads(labels) if isinstance(labels, str) else labels or {}


def record(api: Api, key: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = api.call("GET", f"/v1/api-keys/{key['id']}").json()
    return found


@limits
def test_a_key_that_has_lost_a_limit_is_refused_and_its_record_says_which(api: Api, limit: str) -> None:
    key = limited(api, "models", "budget")
    assert api.validate(key["key"])["valid"] is True
    lose(api, limit, key)
    refused(api, key)
    assert record(api, key)["lostLimits"] == [limit]


def test_a_key_without_limits_has_no_mark_and_loses_nothing(api: Api) -> None:
    key = api.mint()
    assert stored(api, key) == {}
    api.sql("DELETE FROM maas_key_models")
    assert api.validate(key["key"])["valid"] is True
    assert "lostLimits" not in record(api, key)


@limits
def test_the_mark_is_no_label_of_the_client_s(api: Api, limit: str) -> None:
    key = limited(api, limit, labels={"team": "blue"})
    assert stored(api, key) == {"team": "blue", LABEL: limit}
    assert key["labels"] == record(api, key)["labels"] == {"team": "blue"}
    found = api.call("POST", "/v1/api-keys/search", {"filters": {"labelsContain": {"team": "blue"}}}).json()["data"]
    assert [entry["labels"] for entry in found if entry["id"] == key["id"]] == [{"team": "blue"}]
    rotated = api.call("POST", f"/v1/api-keys/{key['id']}/rotate").json()
    assert rotated["labels"] == {"team": "blue"}


def test_nobody_can_set_it(api: Api) -> None:
    answer = api.call("POST", "/v1/api-keys", {"name": "k", "labels": {LABEL: "models"}})
    assert answer.status_code == 400
    assert "invalid characters" in answer.json()["error"]


def test_a_budget_that_is_set_later_is_marked_and_one_that_is_taken_away_is_not(api: Api) -> None:
    key = limited(api, "models", labels={"team": "blue"})
    path = f"/v1/api-keys/{key['id']}/budget"
    assert api.call("PUT", path, BUDGET, user="root").status_code == 200
    assert stored(api, key) == {"team": "blue", LABEL: "budget,models"}
    assert api.call("DELETE", path, user="root").status_code == 200
    assert stored(api, key) == {"team": "blue", LABEL: "models"}
    plain = api.mint()
    for method in ("PUT", "DELETE"):
        assert api.call(method, f"/v1/api-keys/{plain['id']}/budget", BUDGET, user="root").status_code == 200
    assert stored(api, plain) == {}
    assert api.validate(plain["key"])["valid"] is True


def test_a_lost_budget_is_mended_by_setting_one_and_a_lost_allow_list_is_not(api: Api) -> None:
    key = limited(api, "models", "budget")
    lose(api, "budget", key)
    assert api.call("PUT", f"/v1/api-keys/{key['id']}/budget", BUDGET, user="root").status_code == 200
    assert api.validate(key["key"])["models"] == ["gpt-4o"]
    lose(api, "models", key)
    assert api.call("DELETE", f"/v1/api-keys/{key['id']}/budget", user="root").status_code == 200
    refused(api, key)
    assert record(api, key)["lostLimits"] == ["models"]


@pytest.mark.parametrize("mark", ["models,something-of-tomorrow", "something-of-tomorrow"])
def test_a_limit_of_a_newer_version_counts_as_lost(api: Api, mark: str) -> None:
    key = limited(api, "models")
    value = "CAST(:labels AS jsonb)" if api.database.postgres else ":labels"
    api.sql(f"UPDATE api_keys SET labels = {value} WHERE id = :id", labels=json.dumps({LABEL: mark}), id=key["id"])
    assert api.validate(key["key"]) == LOST


class TestMarking:
    """Keys of before there were marks, or of an older version that still runs beside."""

    def unmark(self, api: Api, key: dict[str, Any]) -> None:
        drop = "labels - :name" if api.database.postgres else "json_remove(labels, '$.\"' || :name || '\"')"
        api.sql(f"UPDATE api_keys SET labels = {drop} WHERE id = :id", name=LABEL, id=key["id"])
        api.sql("UPDATE api_keys SET labels = NULL WHERE id = :id AND CAST(labels AS text) = '{}'", id=key["id"])

    @pytest.mark.parametrize("labels", [{}, {"team": "blue"}])
    @pytest.mark.parametrize("limits_", [("models",), ("budget",), ("models", "budget")])
    def test_they_are_marked(self, api: Api, limits_: tuple[str, ...], labels: dict[str, str]) -> None:
        key = limited(api, *limits_, labels=labels)
        self.unmark(api, key)
        assert stored(api, key) == labels
        marking.ensure(api.database)
        mark = stored(api, key).pop(LABEL)
        assert sorted(mark.split(",")) == sorted(limits_)
        assert api.validate(key["key"])["valid"] is True

    def test_what_is_lost_stays_marked(self, api: Api) -> None:
        key = limited(api, "models", "budget")
        lose(api, "models", key)
        marking.ensure(api.database)
        assert stored(api, key)[LABEL] == "budget,models"
        refused(api, key)

    def test_the_labels_of_other_keys_are_left_alone(self, api: Api) -> None:
        plain, labelled = api.mint(), api.mint(labels={"team": "blue"})
        marking.ensure(api.database)
        assert stored(api, plain) == {}
        assert stored(api, labelled) == {"team": "blue"}

    def test_more_than_are_marked_at_once_are_marked(self, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
        keys = [limited(api, "models") for _ in range(5)]
        for key in keys:
            self.unmark(api, key)
        monkeypatch.setattr(marking, "_AT_ONCE", 2)
        marking.ensure(api.database)
        assert [stored(api, key) for key in keys] == [{LABEL: "models"}] * 5
