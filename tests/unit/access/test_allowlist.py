"""Allow-lists: exact ids and prefixes."""

from __future__ import annotations

import pytest

from maas_api.access.allowlist import allows, permits
from maas_api.keys import policy


@pytest.mark.parametrize(
    ("allowed", "models", "expected"),
    [
        (("gpt-4o",), {"gpt-4o"}, True),
        (("gpt-4o",), {"gpt-4o-mini"}, False),
        (("gpt-4*",), {"gpt-4o-mini"}, True),
        (("gpt-4*",), {"gpt-3"}, False),
        (("*",), {"anything"}, True),
        (("*",), set(), False),
        ((), {"gpt-4o"}, False),
        (("a*b",), {"axb"}, False),
        (("GPT-4o",), {"gpt-4o"}, False),
        (("alias",), {"id", "alias"}, True),
        (("[a-z]*",), {"gpt"}, False),
    ],
)
def test_an_entry_is_an_exact_id_or_a_prefix(allowed: tuple[str, ...], models: set[str], expected: bool) -> None:
    assert permits(allowed, models) is expected


def test_allow_lists_match_ids_and_prefixes() -> None:
    patterns = policy.models(["gpt-4o", "claude-*"])
    allowed = ["gpt-4o", "claude-", "claude-sonnet-4"]
    refused = ["gpt-4", "gpt-4o-mini", "Claude-x", "x-claude-y", ""]
    assert [model for model in [*allowed, *refused] if allows(patterns, model)] == allowed
    assert allows(None, "anything")
    assert allows(("*",), "anything")
