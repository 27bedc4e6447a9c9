"""``maas-api models`` and ``maas-api registry lint``: what an operator and a pipeline read."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from maas_api.cli import main
from tests.support.objects import registry, service


def run(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, list(arguments), input=stdin)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    objects = [
        service("fine", model="a/fine"),
        service("elsewhere", model="b", router={"gateway": {"refs": [{"name": "other"}]}}),
        service("nowhere", model="c", url=None),
        service("waking", model="d", conditions=[{"type": "Ready", "status": "False", "reason": "Starting"}]),
        registry("[{id: gpt, provider: openai, groups: [ml]}, {id: bad}]"),
    ]
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(objects))
    return tmp_path


def test_the_catalog_is_a_table_with_reasons(folder: Path) -> None:
    began = time.monotonic()
    result = run("models", "--manifests", str(folder))
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert "a/fine llm llminferenceservices llm/fine ready" in lines
    assert "d llm llminferenceservices llm/waking not ready: condition Ready is False (Starting)" in lines
    assert "gpt openai registry maas-api/external-model-registry ready, only for ml" in lines
    (heard,) = (line for line in lines if line.startswith(f"manifests {folder} live "))
    age = re.fullmatch(r"(\d+(?:\.\d)?) s ago", heard.removeprefix(f"manifests {folder} live "))
    assert age, heard
    assert float(age[1]) < time.monotonic() - began + 0.1, "seconds since it was read, to a tenth: in this very run"
    assert "llm/elsewhere llminferenceservices not on gateway openshift-ingress/maas-default-gateway" in lines
    assert "llm/nowhere llminferenceservices no address: status has no url, address or addresses" in lines
    assert any("entry 2 (bad): provider: must be given" in line for line in lines)


def test_the_catalog_as_json_says_the_same(folder: Path) -> None:
    report = json.loads(run("models", "--manifests", str(folder), "--output", "json").output)
    assert [item["id"] for item in report["models"]] == ["a/fine", "d", "gpt"]
    assert [item["origin"] for item in report["left_out"]] == ["llm/elsewhere", "llm/nowhere"]
    assert (len(report["problems"]), report["sources"][0]["state"]) == (1, "live")


def test_files_that_cannot_be_taken_are_problems_too(folder: Path) -> None:
    (folder / "broken.yaml").write_text("a: [\n")
    (folder / "again.yaml").write_text(yaml.safe_dump(service("fine")))
    problems = json.loads(run("models", "--manifests", str(folder), "--output", "json").output)["problems"]
    assert (
        f"{folder}/broken.yaml:2: is not YAML: while parsing a flow node, did not find expected node content"
        in problems
    )
    assert any("LLMInferenceService llm/fine is already defined at" in problem for problem in problems)


def test_an_empty_catalog_says_so(tmp_path: Path) -> None:
    assert "(no models)" in run("models", "--manifests", str(tmp_path)).output


def test_with_nowhere_to_read_from_it_says_what_to_give() -> None:
    said = run("models", "--kubernetes", "off").output
    assert "nowhere to read them from" in said
    assert "--manifests FOLDER" in said


def test_lint_of_a_folder_reads_the_registries_in_it(tmp_path: Path) -> None:
    deeper = tmp_path / "overlays"
    deeper.mkdir()
    (deeper / "registry.yaml").write_text(yaml.safe_dump(registry("[{id: a, provider: p}, {id: bad}]")))
    (tmp_path / "other.yml").write_text(yaml.safe_dump(service("fine")))
    (tmp_path / "notes.txt").write_text("- {id: b, provider: p}")
    result = run("registry", "lint", str(tmp_path))
    assert (result.exit_code, result.output.splitlines()[-1]) == (1, "1 good entry, 1 problem")
    assert f"{deeper / 'registry.yaml'}:" in result.output
    assert "other.yml" not in result.output
    (deeper / "registry.yaml").unlink()
    result = run("registry", "lint", str(tmp_path))
    assert (result.exit_code, "none of the 1 file in it holds a registry" in result.output) == (2, True)


@pytest.mark.parametrize("group", [(), ("keys",), ("gateway",), ("registry",)])
def test_help_gives_every_sentence_whole(group: tuple[str, ...]) -> None:
    listed = run(*group, "--help").output.partition("Commands:")[2]
    assert listed.strip()
    assert "..." not in listed


@pytest.mark.parametrize("command", [("keys", "list"), ("models",), ("migrate",)])
def test_a_commands_own_options_come_first(command: tuple[str, ...]) -> None:
    text = run(*command, "--help").output
    sections = re.findall(r"^(\w[\w ]*):$", text, re.MULTILINE)
    assert sections[0] == "Options"
    assert len(sections) > 1


def test_a_source_that_cannot_be_read_in_time_is_exit_code_1(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    document = {
        "current-context": "x",
        "contexts": [context],
        "clusters": [cluster],
        "users": [{"name": "u", "user": {}}],
    }
    kubeconfig.write_text(yaml.safe_dump(document))
    result = run("models", "--kubeconfig", str(kubeconfig), "--wait", "0.1")
    assert result.exit_code == 1
    assert "waiting" in result.output
    assert "refused" in result.output


def test_credentials_that_do_not_work_are_a_usage_error(tmp_path: Path) -> None:
    result = run("models", "--kubeconfig", str(tmp_path / "none"))
    assert result.exit_code == 2
    assert "--kubernetes" in result.output


GOOD = "- {id: a, provider: p}\n- {id: b, provider: p}\n"


def test_lint_passes_good_files(tmp_path: Path) -> None:
    bare, manifest = tmp_path / "bare.yaml", tmp_path / "manifest.yaml"
    bare.write_text(GOOD)
    manifest.write_text(yaml.safe_dump(registry(GOOD)))
    result = run("registry", "lint", str(bare), str(manifest))
    assert (result.exit_code, result.output) == (0, "4 good entries, 0 problems\n")
    assert run("registry", "lint", "-", stdin="- {id: a, provider: p}\n").output == "1 good entry, 0 problems\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "- {id: c}\n", ":3: entry 3 (c): provider: must be given"),
        ("- a: [\n", ":2: is not YAML: while parsing a flow node, did not find expected node content"),
        ("[" * 5000, ":1: is not YAML: nested deeper than 100 levels"),
        ("apiVersion: v1\nkind: ConfigMap\n", ":1: ConfigMap must have metadata.name, text"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n", ": holds neither a ConfigMap with the key 'models'"),
        ("", ": holds neither a ConfigMap with the key 'models' nor a list of entries"),
        ("- 2025-13-01\n", ": is not YAML this service can read: month must be in 1..12"),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  models: |\n    a: b\n",
            ":6: models: must be a YAML",
        ),
    ],
)
def test_lint_leads_to_the_line(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "registry.yaml"
    file.write_text(text)
    result = run("registry", "lint", str(file))
    assert result.exit_code == 1
    assert f"{file}{said}" in result.output


def test_lint_for_a_pipeline_is_json(tmp_path: Path) -> None:
    file = tmp_path / "registry.yaml"
    file.write_text(GOOD + "- {id: c, provider: 5}\n")
    result = run("registry", "lint", "--output", "json", str(file))
    assert result.exit_code == 1
    assert json.loads(result.output) == {
        "ok": False,
        "files": [
            {
                "file": str(file),
                "models": ["a", "b"],
                "problems": [
                    {
                        "line": 3,
                        "where": f"{file}:3",
                        "entry": "entry 3 (c)",
                        "field": "provider",
                        "rule": "must be text (quote it in YAML)",
                        "received": "the number 5",
                    }
                ],
            }
        ],
    }


def test_lint_of_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    result = run("registry", "lint", str(tmp_path / "none.yaml"))
    assert (result.exit_code, "cannot be read" in result.output) == (2, True)
