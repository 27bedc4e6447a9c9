"""What a person does on the page, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.support.browser import Browser, browser
from tests.support.site import GATEWAY, TOKENS, Site, used
from tests.support.wait import until

SignIn = Callable[[str], Browser]


def is_valid(site: Site, secret: str) -> bool:
    answer = httpx.post(f"{site.url}/internal/v1/api-keys/validate", json={"key": secret})
    return bool(answer.json()["valid"])


def mint(page: Browser, name: str) -> str:
    """A key by the form; gives its secret."""
    page.follow("Keys")
    page.follow("New key")
    page.submit(page.write("Name", name))
    return page.one("#secret").text


def test_a_mistyped_token_says_so_and_is_not_shown_again(page: Browser, site: Site) -> None:
    page.go(f"{site.url}/")
    page.submit(page.write("Platform token", "a-token-of-nobody"))
    assert "Nobody has this token" in page.text
    assert "a-token-of-nobody" not in page.source


def test_minting_with_everything_the_form_has(sign_in: SignIn, site: Site) -> None:
    page = sign_in("alice")
    page.follow("New key")
    page.write("Name", "search backend")
    page.write("Number", "30")
    page.choose("Unit", "days")
    page.tick("gpt-4o-mini")
    page.write("And these, one a line", "claude-*")
    page.write("Tokens a day", "50000")
    page.write("Money", "12.50")
    page.one("details summary").click()
    page.write("Description", "answers questions")
    page.write("Labels, one a line", "team=search")
    page.follow("Make the key")
    secret = page.one("#secret").text
    assert secret.startswith("sk-oai-")
    assert is_valid(site, secret)
    page.follow("Done")
    row = page.row("search backend")
    assert "active" in row.text
    assert "gpt-4o-mini and 1 more" in row.text
    assert "team=search" in row.text
    page.follow("search backend", row)
    assert "0 of 50,000 tokens, 50,000 left" in page.text
    assert "0 of 12.5 USD, 12.5 left" in page.text
    assert "answers questions" in page.text


def test_the_secret_is_copied_by_its_button_and_gone_when_one_leaves(sign_in: SignIn, site: Site) -> None:
    page = sign_in("alice")
    origin = {"origin": site.url, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.driver.execute_cdp_cmd("Browser.grantPermissions", origin)
    secret = mint(page, "copied")
    page.one("[data-copy=secret]").click()
    until(lambda: page.one("#copied").get_attribute("textContent") == "Copied", what="it says that it copied")
    copied = page.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0], arguments[0])")
    assert copied == secret
    page.follow("Done")
    page.driver.back()
    until(lambda: page.driver.execute_script("return document.readyState === 'complete'"), what="the page before")
    assert secret not in page.source
    page.driver.refresh()  # and does not send the form again
    assert secret not in page.source
    assert page.heading == "New key"
    kept = (
        "return JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href, history.state])"
    )
    assert page.driver.execute_script(kept) == f'[{{}},{{}},"","{page.url}",null]'


def test_revoking_asks_first_and_is_over_at_once(sign_in: SignIn, site: Site) -> None:
    page = sign_in("alice")
    secret = mint(page, "short-lived")
    page.follow("Done")
    page.follow("Revoke", page.row("short-lived"))
    assert page.heading == "Revoke this key?"
    page.follow("Keep it")
    assert is_valid(site, secret)
    page.follow("Revoke", page.row("short-lived"))
    page.follow("Revoke it")
    assert "It is refused from now on" in page.text
    assert "revoked" in page.row("short-lived").text
    assert not is_valid(site, secret)


def test_rotating_gives_a_new_secret_and_keeps_the_old_one_as_long_as_asked(sign_in: SignIn, site: Site) -> None:
    page = sign_in("alice")
    old = mint(page, "rotated")
    page.follow("Done")
    page.follow("Rotate", page.row("rotated"))
    page.choose("The old secret stops", "after a day")
    page.follow("Make a new secret")
    new = page.one("#secret").text
    assert new != old
    assert "The old secret is good until" in page.text
    assert is_valid(site, old)
    assert is_valid(site, new)


def test_finding_a_key_by_name_and_status(sign_in: SignIn) -> None:
    page = sign_in("alice")
    for name in ("needle", "haystack"):
        mint(page, name)
    page.follow("Keys")
    page.write("Name contains", "needle")
    page.follow("Search")
    assert [row.find_element(By.TAG_NAME, "a").text for row in page.all(".rows tbody tr")] == ["needle"]
    page.choose("Status", "revoked")
    page.follow("Search")
    assert "No key is like that" in page.text


def test_a_form_that_is_refused_keeps_what_was_written_and_says_why(sign_in: SignIn) -> None:
    page = sign_in("alice")
    page.follow("New key")
    page.write("Name", "too long")
    page.write("Number", "400")
    page.follow("Make the key")
    assert "exceeds maximum allowed (90 days)" in page.text
    assert page.field("Name").get_attribute("value") == "too long"
    assert page.driver.switch_to.active_element.get_attribute("role") == "alert"


def test_models_and_how_to_call_one(sign_in: SignIn) -> None:
    page = sign_in("bob")
    page.follow("Models")
    assert "the gateway has no route to the provider mistral" in page.row("mistral-large").text
    assert "128k" in page.row("gpt-4o-mini").text
    assert "0.15 in, 0.60 out USD" in page.row("gpt-4o-mini").text
    page.follow("How to call it", page.row("gpt-4o-mini"))
    assert f"export MAAS_URL={GATEWAY}" in page.text
    assert "/v1/chat/completions" in page.text
    page.follow("Key for this model")
    assert page.one("input[name=model][value=gpt-4o-mini]").is_selected()
    assert page.one("input[name=scope][value=some]").is_selected()


def test_usage_shows_the_same_numbers_as_a_chart_a_table_and_a_file(sign_in: SignIn, site: Site) -> None:
    page = sign_in("bob")
    mint(page, "chart")
    key = site.sql("SELECT id FROM api_keys WHERE username = 'bob' AND name = 'chart'")[0].id
    used(site, "bob", key, "gpt-4o-mini", days_ago=1, tokens=(120_000, 34_567))
    used(site, "bob", key, "claude-sonnet-4-20250514", days_ago=2, tokens=(4_000, 500))
    page.follow("Usage")
    assert page.one(".totals dd").text == "159,067"
    labels = [bar.get_attribute("textContent") for bar in page.all(".chart title")]
    assert len(labels) == 30
    assert any("154,567 (120,000 input, 34,567 output)" in (label or "") for label in labels)
    page.one("details summary").click()
    assert "120,000" in page.one("details table").text
    assert "154,567" in page.row("gpt-4o-mini").text
    assert "0.0387 USD" in page.row("gpt-4o-mini").text
    assert "159,067" in page.row("chart").text
    page.follow("7 days")
    assert len(page.all(".chart g")) == 7
    link = page.one("a[download]").get_attribute("href")
    cookie = page.driver.get_cookies()[0]
    text = httpx.get(link or "", cookies={cookie["name"]: cookie["value"]}).text
    assert re.search(r"gpt-4o-mini,[\w-]+,chart,3,1,0,0,120000,0,0,34567", text)


def test_an_admin_sees_everyone_counts_and_revokes_in_bulk(sign_in: SignIn, site: Site) -> None:
    page = sign_in("bob")
    assert [link.text for link in page.all("nav[aria-label=Main] a")] == ["Keys", "Models", "Usage"]
    secret = mint(page, "of bob")
    page = sign_in("root")
    page.follow("People")
    page.follow("Everyone’s keys")
    assert "bob" in page.row("of bob").text
    page.follow("People")
    page.write("User", "bob")
    page.follow("Count them")
    assert re.search(r"\d+ active keys of user bob would be revoked", page.text)
    assert is_valid(site, secret)
    page.follow(page.one("button.danger").text)
    assert "are revoked" in page.text
    assert not is_valid(site, secret)
    page.follow("Everyone’s usage")
    assert "By user" in page.text


def test_an_admin_sees_what_is_wrong_with_the_catalog(sign_in: SignIn) -> None:
    page = sign_in("root")
    page.follow("Catalog")
    assert "contxtWindow" in page.text
    assert "live" in page.text
    assert "mistral-large" in page.text


def test_an_admin_sees_what_is_left_out_on_purpose_and_how_fresh_every_source_is(sign_in: SignIn, site: Site) -> None:
    page = sign_in("root")
    manifest = site.manifests / "without-router.yaml"
    manifest.write_text(
        "apiVersion: serving.kserve.io/v1alpha1\nkind: LLMInferenceService\n"
        "metadata: {name: without-router, namespace: llm}\n"
    )

    def told() -> bool:
        page.go(f"{site.url}/ui/catalog")
        return "llm/without-router" in page.one("section[aria-labelledby=omitted]").text

    until(told, what="the omission is told", seconds=30)
    manifest.unlink()
    assert "spec.router is not set" in page.text
    sources = {row.find_element(By.TAG_NAME, "th").text: row.text for row in page.all(".rows tbody tr")}
    assert [name for name in sources if str(site.manifests) in name]
    for name, text in sources.items():
        assert re.search(r"\b(live|absent|waiting)\b", text), name
        assert re.search(r"\d+ s ago", text), name


def test_a_budget_is_a_bar_as_long_as_what_is_spent_of_it(sign_in: SignIn, site: Site) -> None:
    page = sign_in("alice")
    page.follow("New key")
    page.write("Tokens a day", "1000")
    page.submit(page.write("Name", "half spent"))
    key = site.sql("SELECT id FROM api_keys WHERE username = 'alice' AND name = 'half spent'")[0].id
    site.sql(
        "INSERT INTO maas_budget_use (key_id, per, begins, used, generation, held, held_before)"
        " VALUES (:key, 'day', :today, 700, 0, 0, 0)",
        key=key,
        today=f"{datetime.now(UTC):%Y-%m-%d} 00:00:00.000000",
    )
    page.go(f"{site.url}/ui/keys/{key}")
    assert "700 of 1,000 tokens, 300 left" in page.text
    bar = page.one(".quota svg.meter")
    assert bar.get_attribute("aria-label") == "70.0 percent used"
    rail, fill = (bar.find_element(By.CLASS_NAME, part).size["width"] for part in ("rail", "fill"))
    assert fill / rail == pytest.approx(0.7, abs=0.02)


def test_signing_out_ends_it(sign_in: SignIn, site: Site) -> None:
    page = sign_in("alice")
    page.follow("Sign out")
    assert page.heading == "Sign in"
    page.go(f"{site.url}/ui/usage")
    assert page.heading == "Sign in"


def test_by_the_keyboard_alone(page: Browser, site: Site) -> None:
    page.go(f"{site.url}/")
    focused = page.driver.switch_to
    until(
        lambda: focused.active_element.get_attribute("name") == "token", what="the one thing to do here has the focus"
    )
    page.mark()
    page.press(TOKENS["alice"], Keys.ENTER)
    page.arrive("signed in")
    focus = page.press(Keys.TAB)
    assert focus.text == "Skip to content"
    assert focus.value_of_css_property("outline-style") == "solid"
    focus.send_keys(Keys.ENTER)
    assert page.press(Keys.TAB).text == "New key"
    page.mark()
    page.press(Keys.ENTER)
    page.arrive("the form is there")
    page.mark()
    page.press("by keyboard", Keys.ENTER)
    page.arrive("the key is there")
    assert page.one("#secret").text.startswith("sk-oai-")


def test_without_scripts_everything_can_be_read_and_done(site: Site, tmp_path: Path) -> None:
    with browser(tmp_path / "profile", scripts=False) as page:
        page.go(f"{site.url}/")
        page.submit(page.write("Platform token", TOKENS["alice"]))
        for place, heading in (("keys/new", "New key"), ("models", "Models"), ("usage", "Your usage")):
            page.go(f"{site.url}/ui/{place}")
            assert page.heading == heading
        page.go(f"{site.url}/ui/keys/new")
        page.submit(page.write("Name", "no script"))
        assert page.one("#secret").text.startswith("sk-oai-")
        assert page.all("script")
        assert page.complaints() == []


def test_a_script_that_is_not_ours_would_have_been_reported(page: Browser, site: Site) -> None:
    """The console is where violations of the policy are said: this test says that we would hear of one."""
    page.go(f"{site.url}/ui/sign-in")
    page.driver.execute_script(
        "const s = document.createElement('style'); s.append('h1 {color: red}'); document.head.append(s)"
    )
    said = until(page.complaints, what="the violation is said")
    assert "Content Security Policy" in said[0]


@pytest.mark.parametrize("place", ["sign-in", "keys"])
def test_no_page_shows_it_in_a_frame(page: Browser, site: Site, place: str) -> None:
    page.go(f"data:text/html,<iframe src='{site.url}/ui/{place}'></iframe>")
    page.driver.switch_to.frame(0)
    where = until(lambda: page.driver.execute_script("return document.documentURI"), what="the frame is there")
    page.driver.switch_to.default_content()
    assert where == "chrome-error://chromewebdata/"
    page.complaints()  # where the console says so too, it is no complaint
