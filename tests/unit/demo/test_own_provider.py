"""``--provider`` is read strictly, and a wrong one is told with what is accepted."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from click.testing import CliRunner

from maas_api.cli import main
from maas_api.demo.own_provider import OwnProvider, its_key, own_provider

importlib.import_module("maas_api.cli.demo")


def test_all_of_it_is_read(tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("x")
    found = own_provider(f"my-own=https://host.example:8443/api,ca={ca},model=a/b,model=c")
    assert found == OwnProvider("my-own", "https://host.example:8443/api", ca, ("a/b", "c"))
    route = found.route(Path("system.pem"))
    assert (route.upstream.host, route.upstream.port, route.upstream.base_path) == ("host.example", 8443, "/api/")
    assert route.upstream.tls is not None
    assert (route.upstream.tls.sni, route.upstream.tls.ca_file) == ("host.example", ca)
    assert route.provider.path_prefix == "/external/my-own/"
    assert found.registered().count("provider: my-own") == 2


def test_without_a_ca_the_systems_are_trusted() -> None:
    route = own_provider("mistral=https://api.mistral.ai").route(Path("system.pem"))
    assert route.upstream.tls is not None
    assert route.upstream.tls.ca_file == Path("system.pem")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("mistral", "must be NAME=https://"),
        ("mistral=", "must be NAME=https://"),
        ("mistral=http://api.mistral.ai", "must begin with https://"),
        ("mistral=https://user:secret@host", "must not carry credentials"),
        ("mistral=https://host/?key=1", "must not have a query"),
        ("Mistral=https://host", "lower-case"),
        ("mistral=https://host,ca=/no/such/file", "there is no file /no/such/file"),
        ("mistral=https://host,key=1", "is neither ca=FILE nor model=ID"),
        ("mistral=https://host,model=", "is neither ca=FILE nor model=ID"),
    ],
)
def test_what_is_wrong_is_said(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why.replace("/", r"\/").replace("?", r"\?")):
        own_provider(text)


def test_its_key_comes_from_the_environment_alone() -> None:
    own = own_provider("my-own=https://host")
    assert its_key(own, {"MY_OWN_API_KEY": " k "}) == "k"
    with pytest.raises(ValueError, match="MY_OWN_API_KEY"):
        its_key(own, {"MY_OWN_API_KEY": " "})


@pytest.mark.parametrize("arguments", [["mistral=http://x"], ["openai=https://x"], ["m=https://x"]])
def test_the_command_refuses_before_anything_starts(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("M_API_KEY", raising=False)
    done = CliRunner().invoke(main, ["demo", "--provider", *arguments])
    assert (done.exit_code, "Invalid value for --provider" in done.output) == (2, True)
