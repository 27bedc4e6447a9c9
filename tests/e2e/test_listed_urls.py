"""What the listing shows as a model's address is the gateway's: it asks for a key, and answers with one."""

from __future__ import annotations

import httpx

from maas_api.demo.seed import CALLS
from maas_api.demo.stack import Stack


def test_a_listed_url_opens_with_a_key_and_not_without(stack: Stack, key: str) -> None:
    listed = stack.client.call("GET", "/v1/models", credential=key).json()["data"]
    urls = {model["id"]: model["url"] for model in listed if "url" in model}
    assert CALLS[0].model in urls
    for url in urls.values():
        assert url.startswith(stack.url + "/")
    body = dict(CALLS[0].body)
    where = f"{urls[CALLS[0].model]}/v1/chat/completions"
    assert httpx.post(where, json=body).status_code == 401
    assert httpx.post(where, json=body, headers={"Authorization": f"Bearer {key}"}).status_code == 200
