"""The page over HTTP, as a browser talks to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.support.site import TOKENS, Site, running

SAME = {"Sec-Fetch-Site": "same-origin"}


@dataclass
class Visit:
    """One browser: its cookies, and the page it stands on."""

    http: httpx.Client

    def get(self, path: str, **more: object) -> httpx.Response:
        """Look at a view."""
        return self.http.get(f"/ui/{path}", **more)  # type: ignore[arg-type]

    def post(self, path: str, fields: dict[str, object], headers: dict[str, str] | None = None) -> httpx.Response:
        """Send a form that this page made: with its token, from its origin."""
        token = {} if path == "sign-in" else {"form_token": self.form_token()}
        return self.http.post(f"/ui/{path}", data=token | fields, headers=SAME if headers is None else headers)

    def form_token(self) -> str:
        """What the forms of this visitor carry."""
        found = re.search(r'name="form_token" value="([^"]+)"', self.get("keys/new").text)
        assert found is not None, "nobody is signed in"
        return found[1]

    def sign_in(self, user: str) -> httpx.Response:
        """By the user's platform token."""
        return self.post("sign-in", {"token": TOKENS[user]})

    def mint(self, name: str, **fields: object) -> tuple[str, str]:
        """A key, made by the form: its id and its secret."""
        answer = self.post("keys/new", {"name": name, "scope": "all", "unit": "days", **fields})
        assert answer.status_code == 201, answer.text
        secret = re.search(r">(sk-oai-\w+)<", answer.text)
        assert secret is not None
        listed = re.search(rf'href="keys/([\w-]+)">{name}<', self.get("keys").text)
        assert listed is not None
        return listed[1], secret[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The service with the page, for this module."""
    with running(tmp_path_factory.mktemp("page")) as made:
        yield made


@pytest.fixture
def visit(site: Site) -> Iterator[Visit]:
    """A browser that nobody has signed in with."""
    with httpx.Client(base_url=site.url) as http:
        yield Visit(http)


@pytest.fixture
def other(site: Site) -> Iterator[Visit]:
    """Another one."""
    with httpx.Client(base_url=site.url) as http:
        yield Visit(http)


@pytest.fixture
def alice(visit: Visit) -> Visit:
    """Alice, signed in."""
    assert visit.sign_in("alice").status_code == 303
    return visit
