"""Nothing in docs/ is only claimed: every command is parsed by its own program or looked up in what it talks about."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import pytest
import trustme
import yaml
from click.testing import CliRunner

from maas_api.cli import main
from maas_api.config import Settings
from maas_api.edge.secret import secrets_in
from maas_api.membership import sources as people
from maas_api.models.sources import registry
from maas_api.providers import PATH_ROOT, entry_for
from tests.support import contract
from tests.support.httproute import upstream
from tests.support.kubernetes import KUBECTL, PATCHES, ROOT, built, complaints, find, kubectl, objects
from tests.support.shell import Command, blocks, commands

PAGES = sorted((ROOT / "docs").glob("*.md"))
TEXTS = {page.name: page.read_text() for page in PAGES}
COMMANDS = [command for name, text in TEXTS.items() for command in commands(name, text)]


# -- one check per program


@functools.cache
def parsed_by_kubectl(words: tuple[str, ...]) -> str:
    """What kubectl has against the words, empty when it knows the command and all flags."""
    done = subprocess.run([str(KUBECTL), *words, "--help"], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stderr


def check_kubectl(command: Command, folder: Path) -> None:
    """Its flags are kubectl's, its folders build, its patches exist, and what it would create is valid."""
    words = list(command.words[1:])
    assert parsed_by_kubectl(command.words[1:]) == ""
    for flag, value in itertools.pairwise(words):
        if flag == "-k":
            assert built(str(Path(value).relative_to("patches")))
        if flag == "--patch-file":
            assert (ROOT / value).is_file(), value
        if flag == "-f":
            assert value in ("-", "registry.yaml"), value
        if flag == "-p":
            assert PATCHED[words[words.index("patch") + 1]](json.loads(value)) == []
    bare = [word for word in words if not word.startswith("-")]
    if "create" in bare and "token" not in bare:
        authority = trustme.CA().issue_cert("gateway.example")
        authority.private_key_pem.write_to_path(str(folder / "tls.key"))
        authority.cert_chain_pems[0].write_to_path(str(folder / "tls.crt"))
        local = [re.sub(r"^(--(?:cert|key))=", rf"\1={folder}/", word) for word in words]
        for name in ("internal-secret", "internal-secret-both"):
            (folder / name).write_text("x")
        local = [word.replace("=internal-secret", f"={folder}/internal-secret") for word in local]
        made = yaml.safe_load(kubectl(*local, "--dry-run=client", "-o", "yaml"))
        made["metadata"].pop("creationTimestamp", None)
        assert complaints(made) == []


def _patched_gateway(change: dict[str, Any]) -> list[str]:
    """What is wrong with a Gateway after a merge patch of its top-level fields of ``spec``."""
    gateway = find(objects("overlays/istio"), "Gateway", "maas-default-gateway")
    gateway["spec"] |= change["spec"]
    reference = change["spec"]["infrastructure"]["parametersRef"]
    find(objects("overlays/external-models"), reference["kind"], reference["name"])
    return complaints(gateway)


PATCHED = {"gateway": _patched_gateway}


def check_oc(command: Command, _folder: Path) -> None:
    """Either the caller's token, or the build whose result the OpenShift overlay runs."""
    words = command.words[1:]
    if words == ("whoami", "-t"):
        return
    image = find(objects("overlays/openshift"), "Deployment", "maas-api")["spec"]["template"]["spec"]["containers"][0]
    namespace = words[words.index("-n") + 1]
    name = words[words.index("--name") + 1] if "--name" in words else words[words.index("start-build") + 1]
    assert words[2] in ("new-build", "start-build")
    assert image["image"] == f"image-registry.openshift-image-registry.svc:5000/{namespace}/{name}:latest"
    if words[2] == "new-build":
        assert {"--binary", "--strategy", "docker"} <= set(words), "built from Dockerfile, out of a folder"


def check_podman(command: Command, _folder: Path) -> None:
    """The image that the Istio overlay runs."""
    image = find(objects("overlays/istio"), "Deployment", "maas-api")["spec"]["template"]["spec"]["containers"][0]
    assert image["image"] in command.words
    assert command.words[1] in ("build", "push")
    assert (ROOT / "Dockerfile").is_file()


def check_helm(command: Command, _folder: Path) -> None:
    """Values that exist and say something to istiod."""
    values = command.words[command.words.index("-f") + 1]
    assert yaml.safe_load((ROOT / values).read_text())["meshConfig"]["extensionProviders"]


def check_maas_api(command: Command, folder: Path) -> None:
    """Its commands and options are ours. What reads a registry or a key, and nothing else, is run."""
    words = list(command.words[1:])
    result = CliRunner().invoke(main, [*words, "--help"])
    assert result.exit_code == 0, result.output
    if words[0] not in ("registry", "gateway"):
        return
    (folder / "registry.yaml").write_text(next(iter(blocks(TEXTS["add-a-provider.md"])))[2])
    (folder / "openai.key").write_text("not-a-key")
    here = [str(folder / word) if word in ("registry.yaml", "openai.key", "providers") else word for word in words]
    result = CliRunner().invoke(main, here)
    assert result.exit_code == 0, result.output
    if words[1] == "lint":
        return
    written = folder / "providers"
    text = kubectl("kustomize", str(written)) if "--output-dir" in words else result.stdout
    made = list(yaml.safe_load_all(text))
    assert made
    assert [complaint for manifest in made for complaint in complaints(manifest)] == []


def check_curl(command: Command, _folder: Path) -> None:
    """The path leads through the gateway to an operation of openapi.yaml, and the body is one it takes."""
    words = command.words
    address = urlsplit(next(word for word in words if word.startswith("https://")))
    assert address.netloc == "MAAS_HOST"
    if address.path.startswith(PATH_ROOT):
        provider = entry_for(address.path.removeprefix(PATH_ROOT).partition("/")[0])
        assert address.path.partition(f"/{provider.name}/")[2] in provider.model_paths
        return
    method = words[words.index("-X") + 1] if "-X" in words else "GET"
    routes = [item for item in objects("overlays/openshift") if item["kind"] == "HTTPRoute"]
    reached = upstream(routes, address.path)
    if "/internal/" in address.path:
        assert reached is None
        return
    assert reached is not None, address.path
    operation = contract.operation(method, reached)
    assert operation is not None, f"openapi.yaml has no {method} {reached}"
    if "-d" in words:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        body = json.loads(words[words.index("-d") + 1])
        jsonschema.Draft202012Validator({**schema, "components": contract.document()["components"]}).validate(body)


def check_of_the_shell(command: Command, _folder: Path) -> None:
    """What makes the shared secret's files; run as written below."""
    assert command.page == "install-openshift.md"
    assert command.program == "date" or any(
        "internal-secret" in line for line in SECRET_LINES if command.program in line
    )


SECRET_LINES = [
    line
    for _, language, content in blocks(TEXTS["install-openshift.md"])
    if language == "sh"
    for line in content.splitlines()
    if line.startswith(("openssl ", "printf ", "mv "))
]


def test_the_commands_give_a_secret_that_authorinos_client_can_send(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A line break in the Secret and every key is refused; so no file may have one, but between two secrets."""
    subprocess.run(["bash", "-euc", "\n".join(SECRET_LINES)], cwd=tmp_path, check=True)
    (new,), (before,) = (secrets_in(tmp_path / name) for name in ("internal-secret", "internal-secret-before"))
    assert secrets_in(tmp_path / "internal-secret-both") == (new, before)
    assert len(new) == len(before) == 64
    assert "white space" not in caplog.text


def check_jq(command: Command, _folder: Path) -> None:
    """One field of an answer."""
    assert re.fullmatch(r"(\.[a-z]+(\[\d\])?)+", command.words[-1])


CHECKS: dict[str, Callable[[Command, Path], None]] = {
    "kubectl": check_kubectl,
    "oc": check_oc,
    "podman": check_podman,
    "helm": check_helm,
    "maas-api": check_maas_api,
    "curl": check_curl,
    "jq": check_jq,
    **dict.fromkeys(("openssl", "tr", "mv", "printf", "cat", "date"), check_of_the_shell),
}


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_command_is_one_that_works_as_written(command: Command, tmp_path: Path) -> None:
    assert command.program in CHECKS, f"{command}: a test must know how to check it"
    CHECKS[command.program](command, tmp_path)


MANIFESTS = [
    (f"{name}:{line}", document)
    for name, text in TEXTS.items()
    for line, language, content in blocks(text)
    if language == "yaml"
    for document in yaml.safe_load_all(content)
]


@pytest.mark.parametrize("manifest", [manifest for _, manifest in MANIFESTS], ids=[place for place, _ in MANIFESTS])
def test_every_manifest_in_the_text_is_what_an_api_server_takes(manifest: dict[str, Any]) -> None:
    assert complaints(manifest) == []
    if people.ENTRY in manifest.get("data", {}):
        assert people.people(manifest).groups
    elif manifest["kind"] == "ConfigMap":
        mapped = registry.to_entries(manifest)
        assert mapped.entries
        assert mapped.problems == ()


# -- what the prose refers to


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", TEXTS[page]):
        assert "://" in target or (ROOT / "docs" / target).exists(), target


@pytest.mark.parametrize("page", TEXTS)
def test_every_path_in_the_text_exists(page: str) -> None:
    for path in re.findall(r"`((?:patches|components|examples)/[\w./-]+)`", TEXTS[page]):
        assert (PATCHES / path if path.startswith("components") else ROOT / path).exists(), path


CLIENTS = {"ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN"}
"""Variables of clients, which the page for their users names."""


@pytest.mark.parametrize("page", TEXTS)
def test_every_variable_in_the_text_is_an_option(page: str) -> None:
    known = {field.metadata["env"] for field in dataclasses.fields(Settings)} | CLIENTS
    for name in re.findall(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`", TEXTS[page]):
        assert name in known, name


@pytest.mark.parametrize("page", TEXTS)
def test_every_block_says_what_it_is(page: str) -> None:
    for line, language, _ in blocks(TEXTS[page]):
        assert language in ("sh", "yaml", "json", "text", "mermaid", "python"), f"{page}:{line}"


def test_every_page_is_listed_on_the_first_one() -> None:
    listed = set(re.findall(r"\]\(([\w-]+\.md)\)", TEXTS["README.md"]))
    assert listed == TEXTS.keys() - {"README.md"}


def test_the_sizes_in_the_text_are_the_sizes_in_the_manifests() -> None:
    container = find(objects("base"), "Deployment", "maas-api")["spec"]["template"]["spec"]["containers"][0]
    requested = container["resources"]["requests"]["memory"].removesuffix("Mi")
    limit = container["resources"]["limits"]["memory"].removesuffix("Mi")
    assert f"request {requested} MiB" in TEXTS["sizing.md"]
    assert f"limit at {limit} MiB" in TEXTS["sizing.md"]
    default = Settings().validation_cache_size
    assert f"({default:,})" in TEXTS["sizing.md"]


@pytest.mark.parametrize(
    ("page", "variable", "default"),
    [
        ("revocation.md", "VALIDATION_TRUST_SECONDS", "5"),
        ("revocation.md", "VALIDATION_MAX_AGE_SECONDS", "60"),
        ("revocation.md", "VALIDATION_GRACE_SECONDS", "60"),
        ("sizing.md", "DB_MAX_OPEN_CONNS", "25"),
        ("sizing.md", "DB_MAX_IDLE_CONNS", "5"),
    ],
)
def test_a_default_that_is_quoted_is_the_default(page: str, variable: str, default: str) -> None:
    field = next(field for field in dataclasses.fields(Settings) if field.metadata["env"] == variable)
    assert field.metadata["default"] == default
    assert re.search(rf"`{variable}`(?:: | \(){default}\b", TEXTS[page])


def test_nothing_tells_a_reader_to_install_this_by_name() -> None:
    """The name of the command belongs to another project on the public index: install from a checkout or the image."""
    told = [
        (str(path.relative_to(ROOT)), found)
        for pattern in ("*.md", "docs/*.md", "maas_api/**/*.py")
        for path in ROOT.glob(pattern)
        for found in re.findall(r"pip install [^\n`]*", path.read_text())
    ]
    assert told
    assert [one for one in told if not re.match(r"pip install ('?\.\[|openai\b)", one[1])] == []
