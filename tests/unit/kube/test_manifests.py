"""Manifests from text: several documents, lists, and complaints that lead to the line."""

from __future__ import annotations

import json

import pytest

from maas_api.kube.manifests import ManifestError, parse
from maas_api.kube.objects import key_of

ONE = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: one, namespace: here}
data:
  literal: |
    first
  folded: >
    text
"""
TWO = """\
apiVersion: serving.kserve.io/v1alpha1
kind: LLMInferenceService
metadata:
  name: two
"""


def test_documents_and_lists_are_taken_apart_in_order() -> None:
    listed = "apiVersion: v1\nkind: List\nitems:\n- " + TWO.replace("\n", "\n  ").rstrip() + "\n"
    found = parse(f"---\n{ONE}---\n# only a comment\n---\n{listed}...\n", "f.yaml")
    assert [key_of(obj) for obj in found] == [("here", "one"), ("", "two")]
    assert [obj.origin.line for obj in found] == [2, 16]
    assert found[0].origin.text_lines == {"literal": 7}


def test_json_is_taken_too() -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "j"}}, indent=2)
    assert key_of(parse(text, "f.json")[0]) == ("", "j")


@pytest.mark.parametrize(
    ("text", "file", "line", "rule"),
    [
        ("a: b\nc: [\n", "f.yaml", 3, "is not YAML"),
        ("a: *nowhere\n", "f.yaml", 1, "is not YAML"),
        ("\tx: 1\n", "f.yaml", 1, "is not YAML"),
        (ONE + "---\n- item\n", "f.yaml", 10, "must be a Kubernetes object (a mapping), got a list"),
        ("kind: ConfigMap\n", "f.yaml", 1, "must have apiVersion and kind"),
        ("apiVersion: v1\nkind: ConfigMap\n", "f.yaml", 1, "ConfigMap must have metadata.name"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: 4}\n", "f.yaml", 1, "ConfigMap must have metadata.name"),
        (
            "apiVersion: v1\nkind: X\nmetadata: {name: a, namespace: 1}\n",
            "f.yaml",
            1,
            "metadata.namespace must be text",
        ),
        ("created: 2025-13-01\n", "f.yaml", 1, "month must be in 1..12"),
        ("[" * 50_000, "f.yaml", 1, "nested deeper than 100 levels"),
        ('{\n"a": }', "f.json", 2, "is not JSON"),
        ("[" * 50_000, "f.json", 1, "is nested too deep"),
    ],
)
def test_a_bad_manifest_is_refused_with_line_and_rule(text: str, file: str, line: int, rule: str) -> None:
    with pytest.raises(ManifestError) as fault:
        parse(text, file)
    assert (fault.value.line, rule in fault.value.rule) == (line, True), fault.value
