"""What the two sources say, and what is refused in a directory so that nobody's rights hang on a typing error."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from maas_api.membership import reading
from maas_api.membership.reading import DocumentError
from maas_api.membership.sources import members, people


def config_map(text: Any) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": "maas-directory"}, "data": {"directory.yaml": text}}


def test_a_directory_lists_groups_and_who_is_disabled() -> None:
    found = people(config_map("groups:\n  team-a: [alice, bob]\n  team-b: []\ndisabled: [carol]\n"))
    assert found.groups == {"team-a": {"alice", "bob"}, "team-b": frozenset()}
    assert found.disabled == {"carol"}
    assert people(config_map('{"groups": {"team-a": ["bob"]}}')).groups == {"team-a": {"bob"}}
    assert people(config_map("groups: {}")) == ({}, frozenset())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "directory.yaml: is missing"),
        (7, "directory.yaml: is missing"),
        ("", "must have groups"),
        ("- alice", "must have groups"),
        ("groups: [", "directory.yaml, line "),
        ("disabled: [alice]", "groups: must be an object"),
        ("groups: [team-a]", "groups: must be an object"),
        ("groups: {}\nuser: {}", "unknown field 'user'"),
        ("groups:\n  a: [x]\n  a: [y]", "line 3: 'a' is there twice"),
        ("groups: {a: [x]}\ngroups: {}", "'groups' is there twice"),
        ('{"groups": {"a": ["x"], "a": ["y"]}}', "'a' is there twice"),
        ("groups: {1: [a], 01: [b]}", "is there twice"),
        ("groups: {a: alice}", "groups.a: must be a list"),
        ("groups: {a: }", "groups.a: must be a list"),
        ("groups: {a: [yes]}", "groups.a: 'True' must be a name, as text; quote it"),
        ("groups: {a: [007]}", "groups.a: '7' must be a name"),
        ("groups: {7: [a]}", "groups: '7' must be a name"),
        ("groups: {a: [' b']}", "groups.a: ' b' must be a name"),
        ("groups: {a: ['']}", "groups.a: '' must be a name"),
        ("groups: {a: [[b]]}", "must be a name"),
        ("groups: {}\ndisabled: alice", "disabled: must be a list"),
        ("groups: {? [a] : [b]}", "directory.yaml"),
        ("groups: !!python/object/apply:os.system [x]", "directory.yaml"),
        ("x" * 1_048_577, "at most 1048576"),
        ("[" * 100_000, "is nested deeper"),
        ("{" * 100_000, "is nested deeper"),
        ("- " * 100_000, "is nested deeper"),
        ("groups: &a {x: *a}", "directory.yaml"),
    ],
)
def test_a_directory_that_could_be_read_otherwise_is_refused_with_the_place(text: Any, says: str) -> None:
    with pytest.raises(DocumentError) as refusal:
        people(config_map(text))
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    ("users", "found"),
    [
        (["alice", "bob"], {"alice", "bob"}),
        (None, set()),
        ([], set()),
        ("alice", set()),
        (["alice", 7, "", None], {"alice"}),
    ],
)
def test_a_groups_members_are_the_names_in_it(users: Any, found: set[str]) -> None:
    assert members({"kind": "Group", "metadata": {"name": "a"}, "users": users}) == found


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8) | st.sampled_from(
    ["yes", "007", "null", "~", "<<", "=", "1e3", "2026-11-30", " a", "a: b", "#", "&a", "*a", "!t", "- a"]
)
DIRECTORIES = st.fixed_dictionaries(
    {"groups": st.dictionaries(NAMES, st.lists(NAMES, max_size=4), max_size=4)}, optional={"disabled": st.lists(NAMES)}
)


@given(DIRECTORIES, st.sampled_from([True, False, None]), st.sampled_from([None, '"', "'"]))
def test_a_directory_says_the_same_however_it_is_written(document: Any, flow: bool | None, style: str | None) -> None:
    text = yaml.safe_dump(document, default_flow_style=flow, default_style=style, allow_unicode=True)
    assert reading.read(text) == document == reading.read(json.dumps(document))


@given(
    st.lists(
        st.sampled_from(["groups", ":", " ", "\n", "- ", "a", "[", "]", "{", "}", ",", "7", "&x", "*x", "!s", "'"])
    )
)
def test_whatever_is_written_is_read_as_the_thorough_way_reads_it(parts: list[str]) -> None:
    text = "".join(parts)
    assert outcome(reading.read, text) == outcome(reading._thoroughly, text)


def outcome(read: Any, text: str) -> Any:
    try:
        return read(text)
    except DocumentError as fault:
        return str(fault)


def test_names_that_refer_to_each_other_are_read_too() -> None:
    found = people(config_map("groups:\n  a: &both [alice, bob]\n  b: *both\n  c: !!seq [eve]\n"))
    assert found.groups == {"a": {"alice", "bob"}, "b": {"alice", "bob"}, "c": {"eve"}}
