"""An edit of the manifests shows in the listing within a second; a broken one keeps the list and is explained."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from importlib import resources

import pytest
import yaml

from maas_api.demo.follow import Follower
from maas_api.demo.seed import CALLS, LOCAL_NAME
from maas_api.demo.stack import WORKERS, Stack

_REGISTRY = resources.files("maas_api.demo") / "data" / "manifests" / "external-model-registry.yaml"
_EXTERNAL = [entry["id"] for entry in yaml.safe_load(yaml.safe_load(_REGISTRY.read_text("utf-8"))["data"]["models"])]
PACKAGED = sorted([CALLS[0].model, *_EXTERNAL])
"""What the demo's own manifests list."""

Eventually = Callable[[Callable[[], object]], float]


@pytest.fixture
def listed(stack: Stack, key: str) -> Callable[[], list[str]]:
    """The ids that GET /v1/models shows now, through the gateway."""

    def ids() -> list[str]:
        answer = stack.client.call("GET", "/v1/models", credential=key)
        assert answer.status == 200
        return [model["id"] for model in answer.json()["data"]]

    return ids


@pytest.fixture
def registry(stack: Stack, listed: Callable[[], list[str]], eventually: Eventually) -> Iterator[Callable[[str], None]]:
    """Replaces the registry manifest's text; the old text is back afterwards, and the listing with it."""
    before = stack.registry.read_text()

    def write(text: str) -> None:
        # As editors do: a new file, renamed over the old one.
        new = stack.registry.with_suffix(".new")
        new.write_text(text)
        new.replace(stack.registry)

    yield write
    write(added(before, "- id: restored", "  provider: openai"))
    eventually(lambda: "restored" in listed())  # whatever was wrong is over
    write(before)
    eventually(lambda: all(listed() == PACKAGED for _ in range(5)))


def added(text: str, *lines: str) -> str:
    """The registry with lines at its end, indented into its list."""
    return text + "".join(f"    {line}\n" for line in lines)


def log_line(stack: Stack, *, naming: str) -> str:
    """The line that every worker of the service has logged about something, or "" before all have."""
    lines = [line for line in stack.service.tail(500).splitlines() if naming in line]
    return lines[-1] if len(lines) >= WORKERS else ""


def test_an_added_model_is_listed_within_a_second(
    stack: Stack, registry: Callable[[str], None], listed: Callable[[], list[str]], eventually: Eventually
) -> None:
    text = stack.registry.read_text()
    times = []
    for number in range(3):
        name = f"gpt-new-{number}"
        registry(added(text, f"- id: {name}", "  provider: openai"))
        times.append(eventually(lambda name=name: all(name in listed() for _ in range(5))))  # type: ignore[misc]  # bound per round
    # Every edit arrives; how fast is judged by the best of three, because the machine runs other tests beside.
    assert min(times) < 1.0, times


def test_yaml_that_does_not_parse_keeps_the_list_and_the_log_says_where(
    stack: Stack, registry: Callable[[str], None], listed: Callable[[], list[str]], eventually: Eventually
) -> None:
    text = stack.registry.read_text()
    registry(added(text, "- id: gpt: four"))
    wanted = f"{stack.registry}:{len(text.splitlines()) + 1}"
    eventually(lambda: log_line(stack, naming=wanted))
    assert "is not YAML" in log_line(stack, naming=wanted)
    assert listed() == PACKAGED


def test_one_bad_entry_is_left_out_and_the_log_names_file_line_entry_field_and_rule(
    stack: Stack, registry: Callable[[str], None], listed: Callable[[], list[str]], eventually: Eventually
) -> None:
    text = stack.registry.read_text()
    registry(added(text, "- id: no-provider", "- id: gpt-good", "  provider: openai"))
    eventually(lambda: "gpt-good" in listed())
    assert listed() == sorted([*PACKAGED, "gpt-good"])
    wanted = f"{stack.registry}:{len(text.splitlines()) + 1}"
    eventually(lambda: "no-provider" in log_line(stack, naming=wanted))
    assert "provider: must be given" in log_line(stack, naming=wanted)


def test_a_manifest_that_is_not_yaml_keeps_its_last_good_state(
    stack: Stack, registry: Callable[[str], None], listed: Callable[[], list[str]], eventually: Eventually
) -> None:
    registry("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [broken\n")
    eventually(lambda: log_line(stack, naming="its last good state stays"))
    assert str(stack.registry) in log_line(stack, naming="its last good state stays")
    assert listed() == PACKAGED


@pytest.fixture(scope="module")
def told(stack: Stack) -> Iterator[list[str]]:
    """What is told while the demo follows its manifests, as with --keep."""
    sentences: list[str] = []
    ended = threading.Event()
    follower = Follower(stack, sentences.append)
    thread = threading.Thread(target=follower.run, args=(ended,))
    thread.start()
    yield sentences
    ended.set()
    thread.join(10)
    assert not thread.is_alive()


def test_a_new_model_gets_its_route_without_a_restart(
    stack: Stack, told: list[str], key: str, eventually: Eventually
) -> None:
    envoy = stack.envoy.pid
    manifest = (stack.manifests / "facebook-opt-125m.yaml").read_text().replace(LOCAL_NAME, "second")
    path, body = "/llm/second/v1/chat/completions", CALLS[0].body

    def status() -> int:
        return stack.client.call("POST", path, credential=key, body=body).status

    second = stack.manifests / "second.yaml"
    assert status() == 404
    try:
        second.write_text(manifest)
        eventually(lambda: status() == 200)
    finally:
        second.unlink(missing_ok=True)
    eventually(lambda: status() == 404)
    assert "gateway: routes renewed, no restart" in told
    assert stack.envoy.pid == envoy


def test_what_is_wrong_is_told_while_the_demo_is_kept(
    registry: Callable[[str], None], told: list[str], stack: Stack, key: str, eventually: Eventually
) -> None:
    text = stack.registry.read_text()
    registry(added(text, "- id: llama", "  provider: elsewhere"))
    eventually(lambda: any("no route /external/elsewhere/" in sentence for sentence in told))
    assert f"models: +llama (now {len(PACKAGED) + 1})" in told

    def listed() -> dict[str, object]:
        answer: dict[str, object] = stack.client.call("GET", "/v1/models/llama", credential=key).json()
        return answer

    eventually(lambda: all("id" in listed() for _ in range(5)))
    assert (listed()["ready"], listed()["reason"]) == (False, "the gateway has no route to the provider elsewhere")
    registry(added(text, "- id: gpt: four"))
    wanted = f"{stack.registry}:{len(text.splitlines()) + 1}"
    eventually(lambda: any(wanted in sentence for sentence in told))
    registry(added(text, "- id: no-provider"))
    eventually(lambda: any("no-provider" in said and said.endswith("(left out)") for said in told))
    assert not [said for said in told if "no-provider" in said and "last good state" in said]
