"""The registry document: every field's rule, and reports that lead to the line."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from maas_api.kube.manifests import parse as parse_manifest
from maas_api.models.model import Details, Mapped, ModelEntry
from maas_api.models.sources import registry
from maas_api.models.sources.registry import RegistryError
from tests.support.objects import CREATED_UNIX
from tests.support.objects import registry as config_map


def read(text: str) -> Mapped:
    return registry.to_entries(config_map(textwrap.dedent(text)))


def complaints(text: str) -> list[str]:
    mapped = read(text)
    assert not mapped.entries
    return [f"{problem.field}: {problem.rule} | {problem.received}" for problem in mapped.problems]


def test_the_patchs_fields_suffice() -> None:
    mapped = read("""
        - id: gpt-4o-mini
          provider: openai
          backend: openai-backend
    """)
    assert mapped == Mapped(
        entries=(
            ModelEntry(
                id="gpt-4o-mini",
                created=CREATED_UNIX,  # the ConfigMap's, so that every replica says the same
                owned_by="openai",
                provider="openai",
                ready=True,
                source="registry",
                origin="maas-api/external-model-registry",
            ),
        )
    )


def test_every_field_is_taken() -> None:
    mapped = read("""
        - id: Qwen/Qwen3-0.6B
          provider: vllm
          backend: vllm-backend
          url: https://models.example.com/external/vllm
          displayName: Qwen 3
          description: Small
          contextWindow: 32k
          capabilities: [chat, tools]
          genaiUseCase: chat
          groups: [ml, research]
          ready: false
          created: 2025-03-15T04:17:00Z
          aliases: [qwen, Qwen/Qwen3-0.6B, qwen]
    """)
    assert not mapped.problems
    entry = mapped.entries[0]
    assert entry.details == Details("chat", "Small", "Qwen 3", "32k", ("chat", "tools"))
    assert (entry.url, entry.groups) == ("https://models.example.com/external/vllm", frozenset(("ml", "research")))
    assert (entry.ready, entry.unready) == (False, "the registry says ready: false")
    assert (entry.created, entry.aliases) == (1742012220, ("qwen",))


# (one entry as YAML, what is said about it)
WRONG: list[tuple[str, str]] = [
    ("{provider: openai}", "id: must be given | "),
    ("{id: x}", "provider: must be given | "),
    ("{id: null, provider: openai}", "id: must not be null | null"),
    ("{id: 4, provider: openai}", "id: must be text (quote it in YAML) | the number 4"),
    ("{id: 2025-01-01, provider: openai}", "id: must be text (quote it in YAML) | the date 2025-01-01"),
    ("{id: '', provider: openai}", "id: must not be blank | ''"),
    ("{id: ' x', provider: openai}", "id: must have no space at its ends and no control characters | ' x'"),
    ('{id: "a\\nb", provider: openai}', "id: must have no space at its ends and no control characters | 'a\\nb'"),
    (f"{{id: {'x' * 257}, provider: openai}}", f"id: must have at most 256 characters | '{'x' * 56}..."),
    ("{id: x, provider: no}", "provider: must be text (quote it in YAML) | false"),
    ("{id: x, provider: open/ai}", "provider: must be 1 to 54 lower-case letters, digits and inner hyphens, a letter first (it becomes a path and a Service's name) | 'open/ai'"),  # noqa: E501 -- one case, one line
    ("{id: x, provider: ..}", "provider: must be 1 to 54 lower-case letters, digits and inner hyphens, a letter first (it becomes a path and a Service's name) | '..'"),  # noqa: E501 -- one case, one line
    ("{id: x, provider: Azure.EU}", "provider: must be 1 to 54 lower-case letters, digits and inner hyphens, a letter first (it becomes a path and a Service's name) | 'Azure.EU'"),  # noqa: E501 -- one case, one line
    ("{id: x, provider: p, url: ftp://x/}", "url: must be an http:// or https:// URL without user, query or fragment | 'ftp://x/'"),
    ("{id: x, provider: p, url: 'https://u:hidden@x/'}", "url: must be an http:// or https:// URL without user, query or fragment | 'https://***@x/'"),  # noqa: E501 -- one case, one line
    ("{id: x, provider: p, displayName: [a]}", "displayName: must be text (quote it in YAML) | the list ['a']"),
    ("{id: x, provider: p, ready: 'yes'}", "ready: must be true or false, unquoted | 'yes'"),
    ("{id: x, provider: p, created: soon}", "created: must be unix seconds or a timestamp such as 2025-03-15T04:17:00Z | 'soon'"),  # noqa: E501 -- one case, one line
    ("{id: x, provider: p, created: true}", "created: must be unix seconds or a timestamp such as 2025-03-15T04:17:00Z | true"),  # noqa: E501 -- one case, one line
    ("{id: x, provider: p, created: -1}", "created: must be unix seconds or a timestamp such as 2025-03-15T04:17:00Z | the number -1"),  # noqa: E501 -- one case, one line
    ("{id: x, provider: p, contextWindow: big}", "contextWindow: must be a number of tokens above 0, such as 128000 or 128k | 'big'"),  # noqa: E501 -- one case, one line
    ("{id: x, provider: p, contextWindow: 0}", "contextWindow: must be a number of tokens above 0, such as 128000 or 128k | the number 0"),  # noqa: E501 -- one case, one line
    ("{id: x, provider: p, groups: ml}", "groups: must be a list | 'ml'"),
    ("{id: x, provider: p, groups: []}", "groups: must name at least one group; leave the field out to show the model to everyone | the list []"),  # noqa: E501 -- one case, one line
    ("{id: x, provider: p, groups: [ml, 3]}", "groups[1]: must be text (quote it in YAML) | the number 3"),
    ("{id: x, provider: p, group: [ml]}", "group: is not a field of a registry entry | "),
    ("{id: x, provider: p, apiKey: do-not-print}", "apiKey: is not a field of a registry entry | "),
    ("{id: x, id: y, provider: p}", "id: must not be given twice | "),
    ("just text", ": must be a mapping with at least id and provider | 'just text'"),
]  # fmt: skip


@pytest.mark.parametrize(("item", "said"), WRONG)
def test_a_wrong_entry_is_refused_with_field_rule_and_value(item: str, said: str) -> None:
    assert complaints(f"- {item}") == [said]


def test_every_fault_of_an_entry_is_said_at_once() -> None:
    assert len(complaints("- {id: 1, provider: 2, ready: 3}")) == 3


def test_a_bad_entry_does_not_take_the_others_along() -> None:
    mapped = read("""
        - {id: a, provider: p}
        - {id: b}
        - {id: c, provider: p}
    """)
    assert [entry.id for entry in mapped.entries] == ["a", "c"]
    assert [problem.entry for problem in mapped.problems] == ["entry 2 (b)"]


def test_the_first_of_two_entries_with_one_id_stays() -> None:
    mapped = read("""
        - {id: a, provider: first}
        - {id: a, provider: second}
    """)
    assert [entry.provider for entry in mapped.entries] == ["first"]
    assert "already listed" in mapped.problems[0].rule


@pytest.mark.parametrize("empty", ["", "\n", "# nothing yet\n", "[]", "null"])
def test_an_empty_document_is_an_empty_list(empty: str) -> None:
    assert registry.to_entries(config_map(empty)) == Mapped()


def test_without_the_key_there_are_no_entries() -> None:
    assert registry.to_entries({"metadata": {"name": "r"}, "data": {}}) == Mapped()
    assert registry.to_entries({"metadata": {"name": "r"}}) == Mapped()


@pytest.mark.parametrize(
    ("document", "rule"),
    [
        ("- a: [", "is not YAML"),
        ("models: []", "must be a YAML list of entries"),
        ("text", "must be a YAML list of entries"),
        ("- {id: a, provider: p}\n---\n[]", "must be one YAML document"),
        ("- 2025-13-41", "is not YAML this service can read"),
        ("- !!python/object/apply:os.system [ls]", "is not YAML"),
        ("[" * 100_000, "is not YAML: nested deeper than 100 levels"),
    ],
)
def test_an_unusable_document_is_refused_whole(document: str, rule: str) -> None:
    with pytest.raises(RegistryError) as fault:
        registry.to_entries(config_map(document))
    assert rule in str(fault.value)


MANIFEST = """\
# a comment
apiVersion: v1
kind: ConfigMap
metadata:
  name: external-model-registry
  namespace: maas-api
data:
  other: x
  models: |
    - id: fine
      provider: openai
    - id: lame
      provider: openai
      groups: []
"""


def located(text: str) -> Any:
    return parse_manifest(text, "registry.yaml")[0]


def test_in_a_file_the_line_is_the_files() -> None:
    mapped = registry.to_entries(located(MANIFEST))
    assert [(problem.where, problem.field) for problem in mapped.problems] == [("registry.yaml:14", "groups")]


def test_a_syntax_error_in_the_text_leads_to_its_line_in_the_file() -> None:
    with pytest.raises(RegistryError, match=r"^registry\.yaml:15: models: is not YAML: "):
        registry.to_entries(located(MANIFEST.replace("groups: []", "groups: [\n      }")))


def test_where_the_texts_lines_are_not_the_files_the_object_is_named() -> None:
    folded = MANIFEST.replace("models: |", "models: >")
    with pytest.raises(RegistryError, match=r"^registry\.yaml:2: ConfigMap maas-api/external-model-registry: models"):
        registry.to_entries(located(folded + "    : ["))


def test_from_a_cluster_the_object_and_the_texts_line_are_named() -> None:
    mapped = read("""\
        - id: fine
          provider: openai
        - id: lame
    """)
    assert str(mapped.problems[0]).startswith(
        "ConfigMap maas-api/external-model-registry: models line 3: entry 2 (lame): provider: must be given"
    )


def _laughs(item: str, levels: int = 30) -> str:
    """A list in which every entry holds the one before nine times: few bytes that stand for 9**levels values."""
    nine = (", ".join([f"*a{level - 1}"] * 9) for level in range(1, levels))
    rest = (f"- &a{level} {item.format(id=f'a{level}', nine=text)}" for level, text in enumerate(nine, 1))
    return "\n".join(("- &a0 {id: a0, provider: openai}", *rest))


@pytest.mark.parametrize(
    "item",
    [
        "{{id: {id}, provider: openai, groups: [{nine}]}}",
        "{{<<: [{nine}], provider: openai}}",
        "{{id: [{nine}], provider: openai}}",
        "[{nine}]",
    ],
)
def test_few_bytes_that_stand_for_more_than_any_memory_are_refused(item: str) -> None:
    with pytest.raises(RegistryError, match="once its aliases are written out"):
        registry.parse(_laughs(item), where="x", first_line=0, origin="ns/n", default_created=0)


def test_aliases_in_moderation_are_read() -> None:
    text = "- &one {id: a, provider: openai, groups: &g [team]}\n- {id: b, provider: openai, groups: *g}\n"
    found = registry.parse(text, where="x", first_line=0, origin="ns/n", default_created=0)
    assert [(entry.id, entry.groups) for entry in found.entries] == [("a", {"team"}), ("b", {"team"})]


MERGED = """
- &a {id: a, provider: openai, groups: [team], displayName: A}
- &b {id: b, provider: anthropic, description: of b}
"""


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("- {<<: *a, id: c}", ("c", "openai", {"team"}, "A", "")),
        ("- {id: c, <<: *a}", ("c", "openai", {"team"}, "A", "")),
        ("- {<<: [*b, *a], id: c}", ("c", "anthropic", {"team"}, "A", "of b")),
        ("- {<<: {<<: *a, provider: mistral, id: z}, id: c}", ("c", "mistral", {"team"}, "A", "")),
    ],
)
def test_a_field_beside_a_merge_key_overrides_what_is_merged(entry: str, expected: tuple[object, ...]) -> None:
    found = registry.parse(MERGED + entry, where="x", first_line=0, origin="ns/n", default_created=0)
    assert not found.problems
    one = found.entries[-1]
    assert (one.id, one.provider, one.groups, one.details.display_name, one.details.description) == expected


def test_a_field_written_twice_beside_a_merge_key_is_still_refused() -> None:
    text = MERGED + "- {<<: *a, id: c, id: d}"
    found = registry.parse(text, where="x", first_line=0, origin="ns/n", default_created=0)
    assert [(problem.where, problem.field, problem.rule) for problem in found.problems] == [
        ("x: models line 4", "id", "must not be given twice")
    ]


def test_an_entry_of_ten_thousand_fields_is_one_problem() -> None:
    """Every wrong field is looked for on its own: ten thousand of them took ten seconds."""
    text = "- {id: a, provider: b, " + ", ".join(f"k{number}: 1" for number in range(10_000)) + "}"
    found = registry.parse(text, where="x", first_line=0, origin="ns/n", default_created=0)
    assert [problem.rule for problem in found.problems] == [f"must have at most {registry.MAX_FIELDS} fields"]


def test_a_model_that_the_gateway_does_not_route_is_not_ready_and_says_why() -> None:
    document = config_map("- {id: a, provider: openai}\n- {id: b, provider: elsewhere}\n")
    found = {
        entry.id: (entry.ready, entry.unready) for entry in registry.to_entries(document, frozenset({"openai"})).entries
    }
    assert found == {"a": (True, ""), "b": (False, "the gateway has no route to the provider elsewhere")}
    assert all(entry.ready for entry in registry.to_entries(document).entries), (
        "nothing is said: all are taken as routed"
    )
