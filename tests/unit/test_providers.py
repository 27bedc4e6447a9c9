"""The table of providers, and what an installation may add to it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_api.gateway.manifests import Options, Target, render
from maas_api.models.sources import registry
from maas_api.providers import CREDENTIAL_HEADERS, PROVIDERS, UnknownProvider, provider
from tests.support.kubernetes import complaints


def test_each_entry_stands_under_its_own_name() -> None:
    assert {name: entry.name for name, entry in PROVIDERS.items()} == {name: name for name in PROVIDERS}


def test_every_header_a_provider_takes_its_key_in_is_one_that_is_removed_from_requests() -> None:
    assert {entry.credential_header for entry in PROVIDERS.values()} <= set(CREDENTIAL_HEADERS)
    assert CREDENTIAL_HEADERS[0] == "authorization"


@pytest.mark.parametrize(
    ("name", "header", "prefix"),
    [("openai", "authorization", "Bearer "), ("anthropic", "x-api-key", ""), ("azure", "api-key", "")],
)
def test_the_credential_is_written_as_the_provider_reads_it(name: str, header: str, prefix: str) -> None:
    assert (PROVIDERS[name].credential_header, PROVIDERS[name].credential_prefix) == (header, prefix)


def test_a_name_without_an_entry_is_an_openai_compatible_server() -> None:
    entry = provider("mistral", host="api.mistral.ai")
    assert (entry.path_prefix, entry.host, entry.dialect) == ("/external/mistral/", "api.mistral.ai", "openai")


def test_an_installations_host_replaces_the_tables() -> None:
    entry = provider("openai", host="eu.api.openai.com", port=8443)
    assert (entry.host, entry.port, entry.name) == ("eu.api.openai.com", 8443, "openai")


@given(st.text(st.sampled_from("az09-._A/"), max_size=70) | st.from_regex(r"[a-z0-9-]{50,66}", fullmatch=True))
def test_the_registry_and_the_table_have_one_rule_for_a_name(name: str) -> None:
    """An entry whose provider could have no route is not listed, and the API server has nothing to add to the rule."""
    mapped = registry.parse(
        json.dumps([{"id": "m", "provider": name}]), where="", first_line=0, origin="", default_created=0
    )
    try:
        routable = provider(name, host="llm.example.com").name == name
    except UnknownProvider:
        routable = False
    assert bool(mapped.entries) == routable
    if routable:
        (service,) = (
            item for item in render(Options(), [Target(provider=provider(name, host="h"))]) if item["kind"] == "Service"
        )
        assert complaints(service) == []


@pytest.mark.parametrize(
    ("name", "host", "rule"),
    [
        ("vllm", "", "needs a host"),
        ("nobody", "", "needs a host"),
        ("Open AI", "h", "lower-case letters"),
        ("a/b", "h", "lower-case letters"),
        ("openai\n", "", "lower-case letters"),
        ("4o", "h", "a letter first"),
        ("p" * 55, "h", "1 to 54"),
        ("openai", "a b", "not a host name"),
        ("openai", "host/path", "not a host name"),
    ],
)
def test_what_cannot_be_routed_to_is_refused_with_the_rule(name: str, host: str, rule: str) -> None:
    with pytest.raises(UnknownProvider, match=rule):
        provider(name, host=host)
