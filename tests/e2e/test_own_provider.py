"""A provider that nobody packaged is called through the demo's gateway with its own key, over verified TLS."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from maas_api.demo.certificates import Authority
from maas_api.demo.checks import Session
from maas_api.demo.own_provider import own_provider
from maas_api.demo.simulators.openai_api import openai_api
from maas_api.demo.simulators.server import Simulator
from maas_api.demo.stack import Stack

CHAT = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5}


@pytest.mark.parametrize("trusted", [True, False], ids=["by its CA", "by nobody"])
def test_a_provider_of_ones_own_is_called_at_the_one_url(tmp_path: Path, trusted: bool) -> None:
    key, authority = f"provider-{secrets.token_hex(16)}", Authority()
    ca = (authority if trusted else Authority()).write(tmp_path / "own-ca.pem")
    with Simulator("mistral", openai_api(key), certificate=authority.server("127.0.0.1")) as server:
        own = own_provider(f"mistral={server.url},ca={ca},model=gpt-4o")
        with Stack(tmp_path / "demo", own=[(own, key)]) as stack:
            stack.start(lambda _: None)
            _, credential = Session(stack, []).mint("own")
            listed = stack.client.call("GET", "/v1/models/gpt-4o", credential=credential).json()
            assert (listed["owned_by"], listed["ready"]) == ("mistral", True)
            for path in ("/v1/chat/completions", "/external/mistral/v1/chat/completions"):
                answer = stack.client.call("POST", path, credential=credential, body={"model": "gpt-4o", **CHAT})
                assert answer.status == (200 if trusted else 503), answer.brief()
            if not trusted:
                assert len(server.received) == 0
                return
            last = server.received[-1]
            assert last.header("authorization") == f"Bearer {key}"
            assert last.header("host") == server.url.removeprefix("https://")
            assert credential not in last.text()
