"""What may be asked of usage, and the sentence for what may not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from maas_api.parameters import QueryError
from maas_api.usage.query import Query, parse

NOW = datetime(2026, 11, 24, 19, 17, 3, tzinfo=UTC)


def test_without_anything_it_is_the_last_thirty_days_by_day() -> None:
    end = datetime(2026, 11, 24, 20, tzinfo=UTC)
    assert parse({}, NOW) == Query(datetime(2026, 10, 25, 20, tzinfo=UTC), end)


def test_everything_that_can_be_said() -> None:
    asked = parse(
        {
            "from": ["2026-11-01"],
            "to": ["2026-11-02T01:30:00+02:00"],
            "interval": ["hour"],
            "groupBy": ["model,key", "model"],
            "user": ["ann", "bob, the builder"],
        },
        NOW,
    )
    assert asked == Query(
        datetime(2026, 11, 1, tzinfo=UTC),
        datetime(2026, 11, 2, tzinfo=UTC),
        "hour",
        ("model", "key"),
        {"user": ("ann", "bob, the builder")},
    )


WRONG = [
    ({"form": ["x"]}, "form: there is no such parameter"),
    ({"from": ["yesterday"]}, "from: must be a day"),
    ({"from": ["2026-01-01T00:00:00"]}, "from: must be a day"),
    ({"to": ["0001-01-01"]}, "to: must be a day"),
    ({"from": ["2026-11-02"], "to": ["2026-11-01"]}, "from: must be before to"),
    ({"from": ["2026-01-01"], "interval": ["hour"]}, "from: by hour at most 31 days"),
    ({"interval": ["minute"]}, "interval: must be one of hour, day, month, total, got 'minute'"),
    ({"interval": [""]}, "interval: must be one of hour, day, month, total, got ''"),
    ({"from": [" "]}, "from: must be a day"),
    ({"scope": [""]}, "scope: must be one of"),
    ({"interval": ["day", "hour"]}, "interval: must be given once"),
    ({"groupBy": ["tenant"]}, "groupBy: must be of key, user"),
    ({"key": ["\0"]}, "key: must not contain U+0000"),
    ({"key": [str(n) for n in range(101)]}, "key: at most 100"),
]


@pytest.mark.parametrize(("parameters", "sentence"), WRONG)
def test_what_cannot_be_answered_is_refused_by_name_and_rule(parameters: dict[str, list[str]], sentence: str) -> None:
    with pytest.raises(QueryError) as fault:
        parse(parameters, NOW)
    assert str(fault.value).startswith(sentence)
