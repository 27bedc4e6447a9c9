"""One service and one browser for all tests of the page, so they are one group. Without Chromium they are skipped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import MISSING, Browser, browser
from tests.support.site import TOKENS, Site, running

if TYPE_CHECKING:
    from collections.abc import Callable


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put this folder's tests into one group; skip them with a word where there is no browser."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.xdist_group("page"))
            item.add_marker(pytest.mark.timeout(300))
            if MISSING:
                item.add_marker(pytest.mark.skip(reason=MISSING))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The service with the page."""
    with running(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture(scope="package")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser. It ends with these tests: one that idles takes a third of a core from those that follow."""
    with browser(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture
def page(window: Browser) -> Iterator[Browser]:
    """The browser with nobody signed in. Whatever its console says against the page fails the test."""
    window.forget()
    window.look()
    window.complaints()
    yield window
    assert window.complaints() == []


@pytest.fixture
def sign_in(page: Browser, site: Site) -> Callable[[str], Browser]:
    """Signs a user in by the form, as a person does."""

    def go(user: str) -> Browser:
        page.forget()
        page.go(f"{site.url}/")
        page.submit(page.write("Platform token", TOKENS[user]))
        assert page.heading == "Your keys"
        return page

    return go


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: a temporary folder, or the one that MAAS_PICTURES names."""
    named = os.environ.get("MAAS_PICTURES")
    folder = Path(named) if named else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
