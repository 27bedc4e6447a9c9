"""The table of providers, and what an installation may add to it."""

from __future__ import annotations

import pytest

from maas_api.providers import CREDENTIAL_HEADERS, PROVIDERS, UnknownProvider, provider


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


@pytest.mark.parametrize(
    ("name", "host", "rule"),
    [
        ("vllm", "", "needs a host"),
        ("nobody", "", "needs a host"),
        ("Open AI", "h", "lower-case letters"),
        ("a/b", "h", "lower-case letters"),
        ("openai\n", "", "lower-case letters"),
        ("openai", "a b", "not a host name"),
        ("openai", "host/path", "not a host name"),
    ],
)
def test_what_cannot_be_routed_to_is_refused_with_the_rule(name: str, host: str, rule: str) -> None:
    with pytest.raises(UnknownProvider, match=rule):
        provider(name, host=host)
