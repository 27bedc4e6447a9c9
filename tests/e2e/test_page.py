"""The demo's page: by the link it prints, in a real browser, to a call through the gateway and what it took."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from maas_api.demo import snippets
from maas_api.demo.seed import CALLS
from maas_api.demo.stack import Stack
from tests.support.browser import MISSING, Browser, browser
from tests.support.wait import until

pytestmark = [pytest.mark.skipif(bool(MISSING), reason=MISSING), pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


def enter(window: Browser, link: str, user: str) -> None:
    window.forget()
    window.go("about:blank")
    window.go(link)
    until(lambda: window.all("h1") and window.heading == "Your keys", what="the link signs in", seconds=60)
    assert window.one(".me .name").get_attribute("title") == user
    assert "code" not in window.url


def test_a_key_of_the_page_calls_a_model_and_the_page_says_what_it_took(stack: Stack, window: Browser) -> None:
    links = snippets.page_links(stack)
    enter(window, links["alice"], "alice")
    window.follow("New key")
    window.submit(window.write("Name", "from the page"))
    key = window.one("#secret").text
    call = CALLS[1]
    assert stack.client.call("POST", call.path, credential=key, body=call.body).status == 200

    def counted() -> bool:
        window.go(f"{stack.service_url}/ui/usage")
        return "from the page" in window.text

    until(counted, what="the call is on the page", seconds=60)
    assert "13" in window.row("from the page").text  # 8 tokens in, 5 out
    window.go(f"{stack.service_url}/ui/model?id={call.model}")
    assert f"export MAAS_URL={stack.url}" in window.text
    window.go(f"{stack.service_url}/ui/keys")
    window.follow("Revoke", window.row("from the page"))
    window.follow("Revoke it")
    assert stack.client.call("POST", call.path, credential=key, body=call.body).status == 401
    assert window.complaints() == []


def test_the_admin_s_link_opens_everyone_s_part_and_no_link_works_twice(
    stack: Stack, window: Browser, key: str
) -> None:
    links = snippets.page_links(stack)
    assert stack.client.call("POST", CALLS[1].path, credential=key, body=CALLS[1].body).status == 200
    enter(window, links["root"], "root")
    window.follow("Catalog")
    assert "live" in window.text
    window.follow("People")
    window.follow("Everyone’s usage")

    def counted() -> bool:
        window.go(window.url)
        return "alice" in window.text

    until(counted, what="the call is on the page", seconds=60)
    window.follow("Sign out")
    window.go("about:blank")
    window.go(links["root"])
    until(lambda: "This link was used" in window.text, what="it is refused", seconds=60)
    assert window.complaints() == []


def test_what_the_demo_keeps_of_a_link_is_no_way_in(stack: Stack) -> None:
    codes = [link.partition("#code=")[2] for link in snippets.page_links(stack).values()]
    held = b"".join(file.read_bytes() for file in Path(stack.folder).glob("maas-api.db*"))
    assert [code for code in codes if code.encode() in held] == []
