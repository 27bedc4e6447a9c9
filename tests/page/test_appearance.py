"""What the page is like: to look at, to a screen reader, in weight and in time. And whatever names say, they are text.

``MAAS_PICTURES=folder`` keeps the screenshots; ``MAAS_README_PICTURE=1`` takes the README's anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.support.browser import PHONE, WIDE, Browser
from tests.support.site import MODELS, TOKENS, Site, used, write_models
from tests.support.wait import until

SignIn = Callable[[str], Browser]

WEIGHT_AT_MOST = 100_000  # bytes of a view with everything it loads
PAINT_MS = 300.0
STILL = 0.005  # as the browser counts it: up to 0.1 is good; a pixel that is rounded twice is no movement
EMPTY = "data:text/html,<p>nothing</p>"
README_PICTURE = Path(__file__).parents[2] / "docs" / "page.png"
README_PICTURE_BYTES = 150_000

EVIL = """<img src=x onerror="owned=1"><script>owned=1</script>"'--></title>{{7*7}}"""
"""What somebody would call a thing to get into the page. It has to be read on it as it stands here."""
EVIL_ID = '"><script>owned=1</script>'

VIEWS = {
    "keys": "keys",
    "new key": "keys/new",
    "models": "models",
    "model": "model?id=gpt-4o-mini",
    "usage": "usage",
    "everyone's usage": "usage?whose=everyone&days=90",
    "everyone's keys": "keys?user=everyone",
    "people": "people",
    "catalog": "catalog",
    "not there": "nothing",
}


@pytest.fixture(scope="module")
def key(site: Site) -> str:
    """A key of root's with a budget and thirty days of usage, and more of each for the lists; gives its id."""
    with httpx.Client(base_url=site.url, headers={"Sec-Fetch-Site": "same-origin"}) as http:
        http.post("/ui/sign-in", data={"token": TOKENS["root"]})
        text = http.get("/ui/keys/new").text
        token = {"form_token": text.partition('name="form_token" value="')[2].partition('"')[0]}
        for name, more in (
            ("search-backend", {"budget_day": "2000000", "labels": "team=search\nstage=production"}),
            ("notebooks", {"scope": "some", "model": ["gpt-4o-mini", "claude-sonnet-4-20250514"], "life": "7"}),
            ("nightly evaluation", {"scope": "some", "patterns": "gpt-*", "life": "30"}),
            (EVIL[:120], {"description": EVIL, "labels": f"evil={EVIL}", "scope": "some", "patterns": EVIL_ID}),
        ):
            answer = http.post("/ui/keys/new", data=token | {"name": name, "scope": "all", "unit": "days"} | more)
            assert answer.status_code == 201, answer.text
    found = {row.name: row.id for row in site.sql("SELECT id, name FROM api_keys WHERE username = 'root'")}
    for day in range(30):
        busy = 1 if datetime.now(UTC).toordinal() % 7 - day % 7 in (0, 1) else 4
        for number, (name, model) in enumerate(
            (
                ("search-backend", "gpt-4o-mini"),
                ("notebooks", "claude-sonnet-4-20250514"),
                ("nightly evaluation", "gpt-4o-mini"),
            )
        ):
            tokens = (busy * (90_000 // (number + 1)) + 1_731 * day, busy * (21_000 // (number + 1)) + 313 * day)
            used(site, "root", found[name], model, days_ago=day, tokens=tokens, requests=busy * 40)
    used(site, "root", found[EVIL[:120]], EVIL_ID, days_ago=1, tokens=(5_000, 600))
    used(site, EVIL, "a-key-that-is-gone", "gpt-4o-mini", days_ago=1, tokens=(6_000, 700))
    return found["search-backend"]


@pytest.fixture(scope="module", autouse=True)
def hostile_models(site: Site) -> Iterator[None]:
    """The registry with a model that is full of markup."""
    evil = {"id": EVIL_ID, "provider": "openai", "displayName": EVIL, "description": EVIL, "capabilities": [EVIL]}
    broken = {"id": EVIL, "provider": "openai", EVIL_ID: 1}
    write_models(site.manifests, [*MODELS, evil, broken])
    yield
    write_models(site.manifests, MODELS)


@pytest.fixture
def root(sign_in: SignIn, site: Site, key: str) -> Browser:
    """The admin, signed in, once the models are those of this module."""
    page = sign_in("root")

    def listed() -> bool:
        page.go(f"{site.url}/ui/models")
        return EVIL in page.text

    until(listed, what="the registry's models are listed", seconds=30)
    return page


@pytest.mark.parametrize("name", [*VIEWS, "key", "revoke", "rotate"])
def test_each_view_is_whole_for_everybody(root: Browser, site: Site, key: str, pictures: Path, name: str) -> None:
    """In light and dark, wide and on a phone: no barrier that axe-core finds, nothing wider than the window, nothing
    that moves, and no markup of a name that came alive."""
    own = {"key": f"keys/{key}", "revoke": f"keys/{key}/revoke", "rotate": f"keys/{key}/rotate"}
    address = f"{site.url}/ui/{(VIEWS | own)[name]}"
    for size_name, size in (("wide", WIDE), ("phone", PHONE)):
        for scheme in ("light", "dark"):
            root.look(size, scheme)
            root.go(address)
            for details in root.all("details"):
                root.driver.execute_script("arguments[0].open = true", details)
            root.picture(pictures / f"{name.replace(' ', '-')}-{size_name}-{scheme}.png")
            assert root.barriers() == [], (size_name, scheme)
            room = root.driver.execute_script("return document.documentElement.scrollWidth - innerWidth")
            assert room <= 0, f"{size_name}: {room} pixels too wide"
        root.go(address)
        assert root.shifts() < STILL, size_name
    assert root.driver.execute_script("return window.owned ?? null") is None
    assert sum(root.weight().values()) < WEIGHT_AT_MOST
    assert all(place.startswith(site.url) for place in root.weight())


def test_the_entrance_and_the_secret_are_whole_too(page: Browser, sign_in: SignIn, site: Site, pictures: Path) -> None:
    page.go(f"{site.url}/ui/sign-in")
    page.picture(pictures / "sign-in-wide-light.png")
    assert page.barriers() == []
    page = sign_in("alice")
    page.follow("New key")
    page.write("Number", "999")
    page.submit(page.write("Name", "of a picture"))
    page.picture(pictures / "refused-wide-light.png")
    assert page.barriers() == []
    page.write("Number", "9")
    page.submit(page.field("Name"))
    for size_name, size in (("wide", WIDE), ("phone", PHONE)):
        for scheme in ("light", "dark"):
            page.look(size, scheme)
            page.driver.execute_script(
                "document.getElementById('secret').textContent = 'sk-oai-' + 'shown-once-'.repeat(6)"
            )
            page.picture(pictures / f"secret-{size_name}-{scheme}.png")
            assert page.barriers() == []


@pytest.mark.parametrize(
    ("place", "shown"),
    [
        ("keys", [EVIL[:120], f"evil={EVIL}", EVIL_ID]),
        ("keys?user=everyone", [EVIL[:120]]),
        ("models", [EVIL_ID, EVIL]),
        ("usage", [EVIL_ID, EVIL[:120]]),
        ("usage?whose=everyone", [EVIL]),
        ("catalog", [EVIL_ID]),
        ("keys/new", [EVIL_ID]),
    ],
)
def test_markup_in_names_is_read_and_never_run(root: Browser, site: Site, place: str, shown: list[str]) -> None:
    root.go(f"{site.url}/ui/{place}")
    for text in shown:
        assert text in root.text, place
    assert root.driver.execute_script("return window.owned ?? null") is None
    assert root.all("main img, main script") == []


def test_a_model_and_a_key_of_markup_can_be_looked_at(root: Browser, site: Site) -> None:
    root.follow("How to call it", root.row(EVIL_ID))
    assert root.heading.startswith(EVIL_ID)
    assert EVIL in root.text
    root.follow("Key for this model")
    assert [box.get_attribute("value") for box in root.all("input[name=model]") if box.is_selected()] == [EVIL_ID]
    root.follow("Keys")
    root.follow(EVIL[:120])
    assert EVIL in root.text
    assert root.driver.execute_script("return window.owned ?? null") is None
    for address in (f"keys?q={EVIL_ID}&status=active&user={EVIL_ID}", f"models?q={EVIL_ID}&page={EVIL_ID}"):
        root.go(f"{site.url}/ui/{address}")
        assert root.driver.execute_script("return window.owned ?? null") is None
        assert root.all("main script, main img") == []


def test_something_is_to_be_seen_at_once(root: Browser, site: Site) -> None:
    """In the bound or, on a machine that has other things to do, in twice what a page without anything takes there."""

    def quick() -> bool:
        root.go(EMPTY)
        plain = root.first_paint() or 0.0
        root.go(f"{site.url}/ui/usage")
        paint = root.first_paint()
        return paint is not None and paint < max(PAINT_MS, 2 * plain)

    until(quick, what=f"a first paint within {PAINT_MS:.0f} ms", seconds=120)


def test_the_readme_s_picture_is_of_this_page(root: Browser, site: Site, pictures: Path) -> None:
    taken = README_PICTURE if os.environ.get("MAAS_README_PICTURE") else pictures / "readme.png"
    root.look((1100, 760))
    root.go(f"{site.url}/ui/usage")
    hide = "document.querySelectorAll('tr').forEach((one) => { if (one.textContent.includes('owned')) one.remove(); })"
    root.driver.execute_script(hide)
    root.picture(taken, whole=False)
    assert 10_000 < taken.stat().st_size < README_PICTURE_BYTES
    assert README_PICTURE.stat().st_size < README_PICTURE_BYTES
    assert "docs/page.png" in (README_PICTURE.parents[1] / "README.md").read_text()
