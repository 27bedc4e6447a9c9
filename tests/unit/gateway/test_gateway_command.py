"""``maas-api gateway``: from a registry and options to files, and refusals that name the option."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from maas_api.cli import main
from tests.support.kubernetes import PATCHES, complaints

OVERLAY = PATCHES / "overlays" / "external-models"


def run(*arguments: object, stdin: str = "") -> Result:
    return CliRunner().invoke(main, ["gateway", *map(str, arguments)], input=stdin)


def test_the_overlays_files_are_what_the_command_in_it_writes(tmp_path: Path) -> None:
    result = run("render", "--registry", OVERLAY / "registry.yaml", "--output-dir", tmp_path)
    assert result.exit_code == 0, result.output
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text() for path in (OVERLAY / "providers").iterdir()}
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in tmp_path.iterdir())


def test_a_live_registry_comes_by_standard_input_and_resources_leave_by_standard_output() -> None:
    """As ``kubectl get configmap -o yaml`` and ``kubectl apply -f -`` give and take them, single or as a list."""
    one = (OVERLAY / "registry.yaml").read_text()
    several = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [yaml.safe_load(one)]})
    outputs = []
    for text in (one, several):
        result = run("render", "--registry", "-", stdin=text)
        assert result.exit_code == 0, result.output
        outputs.append(result.stdout)
    assert outputs[0] == outputs[1]
    found = list(yaml.safe_load_all(outputs[0]))
    assert {item["metadata"]["labels"].get("maas.opendatahub.io/provider") for item in found} == {
        None,
        "openai",
        "anthropic",
    }


def test_a_bad_entry_is_told_and_left_out() -> None:
    text = (OVERLAY / "registry.yaml").read_text() + "    - id: x\n      provider: [no]\n"
    result = run("render", "--registry", "-", stdin=text)
    assert result.exit_code == 0
    assert "provider" in result.stderr
    assert "openai-bridge" in result.stdout


def test_a_literal_key_is_warned_about_and_its_file_is_its_owners_alone(tmp_path: Path) -> None:
    key = secrets.token_hex(16)
    (tmp_path / "key").write_text(f"{key}\n")
    out = tmp_path / "out"
    result = run(
        "render", "--provider", "openai", "--provider-keys", "literal",
        "--provider-key-file", f"openai={tmp_path / 'key'}", "--output-dir", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "clear text" in result.stderr
    assert key not in result.output
    assert f"Bearer {key}" in (out / "openai.yaml").read_text()
    assert (out / "openai.yaml").stat().st_mode & 0o777 == 0o600


class TestSecret:
    def test_it_is_an_object_that_an_api_server_takes(self, tmp_path: Path) -> None:
        key = secrets.token_hex(16)
        result = run("secret", "openai", "--key-file", "-", stdin=f"{key}\n")
        assert result.exit_code == 0
        manifest = yaml.safe_load(result.stdout)
        assert complaints(manifest) == []
        inside = yaml.safe_load(base64.b64decode(manifest["data"]["provider-openai.yaml"]))
        assert inside["resources"][0]["generic_secret"]["secret"]["inline_string"] == key

    def test_written_to_a_file_it_is_the_owners_alone(self, tmp_path: Path) -> None:
        result = run("secret", "openai", "--key-file", "-", "--output", tmp_path / "secret.yaml", stdin="k")
        assert (result.exit_code, result.stdout) == (0, "")
        assert (tmp_path / "secret.yaml").stat().st_mode & 0o777 == 0o600

    @pytest.mark.parametrize("text", ["", "two words", "line\nline", "\x00"])
    def test_what_is_no_key_is_refused_and_not_shown(self, text: str) -> None:
        result = run("secret", "openai", "--key-file", "-", stdin=text)
        assert result.exit_code == 2
        assert "must hold one key" in result.stderr
        assert not text.strip() or text not in result.output


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ((), "--registry: names no provider"),
        (("--provider", "vllm"), "'vllm': needs a host"),
        (("--provider", "Open AI", "--host", "Open AI=https://h"), "lower-case letters"),
        (("--provider", "openai", "--host", "vllm=https://h"), "--host: 'vllm' is neither"),
        (("--provider", "openai", "--ca", "vllm=/ca"), "--ca: 'vllm' is neither"),
        (("--provider", "openai", "--host", "openai"), "--host: must be NAME=VALUE"),
        (("--provider", "openai", "--host", "openai=h"), "--host: openai must be https://"),
        (("--provider", "openai", "--host", "openai=https://h/path"), "--host: openai must be https://"),
        (("--provider", "openai", "--host", "openai=https://h", "--host", "openai=https://i"), "given twice"),
        (("--provider", "openai", "--ca", "openai=ca.pem"), "--ca: must be 'system' or an absolute path"),
        (("--provider", "openai", "--token-limit", "many"), "--token-limit: must be a number"),
        (("--provider", "openai", "--token-limit", "5/minute"), "--token-limit: must have a window"),
        (("--provider", "openai", "--internal-secret", "x"), "--internal-secret: must be SECRET/KEY"),
        (("--provider", "openai", "--namespace", "A B"), "--namespace: must be a DNS label"),
        (("--provider", "openai", "--callback-url", "x"), "--callback-url: must be"),
        (("--provider", "openai", "--auth", "istio", "--provider-keys", "literal"), "--provider-keys: literal is for"),
        (("--provider", "openai", "--provider-keys", "literal"), "--provider-key-file: --provider-keys literal needs"),
    ],
)
def test_a_wrong_option_is_named_with_its_rule(arguments: tuple[str, ...], rule: str) -> None:
    result = run("render", *arguments)
    assert result.exit_code == 2
    assert rule in " ".join(result.stderr.split())
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a: [", "is not YAML"),
        ("kind: ConfigMap\ndata: {other: x}", "holds no ConfigMap"),
        ("kind: ConfigMap\nmetadata: {name: r}\ndata: {models: 'a: b'}", "must be a YAML list"),
        ("", "holds no ConfigMap"),
    ],
)
def test_a_registry_that_is_none_is_refused(text: str, rule: str) -> None:
    result = run("render", "--registry", "-", stdin=text)
    assert result.exit_code == 2
    assert rule in " ".join(result.stderr.split())


def test_no_limit_at_all_can_be_asked_for() -> None:
    result = run("render", "--provider", "openai", "--token-limit", "none")
    assert result.exit_code == 0
    assert "TokenRateLimitPolicy" not in result.stdout
