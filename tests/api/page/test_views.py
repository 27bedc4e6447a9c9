"""What the page shows and does is what the API shows and does to the same caller."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.api.page.conftest import SAME, Visit
from tests.support.site import GATEWAY, TOKENS, Site, running, used


def is_valid(site: Site, secret: str) -> bool:
    answer = httpx.post(f"{site.url}/internal/v1/api-keys/validate", json={"key": secret})
    return bool(answer.json()["valid"])


def test_a_minted_key_is_shown_once_and_works(alice: Visit, site: Site) -> None:
    key, secret = alice.mint("shown once", life="3", labels="team=search", description="for a test")
    assert is_valid(site, secret)
    for place in ("keys", f"keys/{key}", f"keys/{key}/rotate", "usage"):
        assert secret not in alice.get(place).text
    page = alice.get(f"keys/{key}").text
    assert "team=search" in page
    assert "for a test" in page
    assert re.search(r"in (2|3) days", page)


def test_limits_of_the_form_are_the_key_s(alice: Visit) -> None:
    key, _ = alice.mint(
        "limited",
        scope="some",
        model=["gpt-4o-mini"],
        patterns="claude-*\n",
        budget_day="1000",
        budget_total="5000",
        cost="7.5",
        currency="USD",
        cost_per="month",
    )
    page = alice.get(f"keys/{key}").text
    assert "<code>gpt-4o-mini</code>, <code>claude-*</code>" in page
    assert "0 of 1,000 tokens" in page
    assert "0 of 5,000 tokens" in page
    assert "0 of 7.5 USD, 7.5 left until" in page


def test_a_budget_in_money_is_shown_as_money(alice: Visit, site: Site) -> None:
    asked = {"name": "dear", "budget": {"cost": "12.50", "currency": "USD", "per": "month"}}
    headers = {"X-MaaS-Username": "alice", "X-MaaS-Group": '["team"]'}
    made = httpx.post(f"{site.url}/v1/api-keys", json=asked, headers=headers)
    assert made.status_code == 201, made.text
    assert "0 of 12.5 USD, 12.5 left" in alice.get(f"keys/{made.json()['id']}").text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": ""}, "name is required"),
        ({"name": "x", "life": "9999"}, "exceeds maximum allowed (90 days)"),
        ({"name": "x", "life": "soon"}, "Expires after: must be a whole number"),
        ({"name": "x", "life": "1", "unit": "moons"}, "must be in hours or days"),
        ({"name": "x", "scope": "some"}, "models must name at least one model"),
        ({"name": "x", "scope": "some", "patterns": "a b"}, "must be a model id without spaces"),
        ({"name": "x", "budget_day": "0"}, "tokens must be a whole number from 1"),
        ({"name": "x", "labels": "no sign"}, "must be one key=value a line"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_the_api_refuses_the_form_refuses_with_its_sentence_and_keeps_what_was_written(
    alice: Visit, fields: dict[str, str], said: str
) -> None:
    answer = alice.post("keys/new", {"scope": "all", "unit": "days", "labels": "", "description": "kept", **fields})
    assert answer.status_code == 400
    assert said in answer.text.replace("&#39;", "'")
    assert 'value="kept"' in answer.text


def test_a_pattern_that_matches_nothing_is_said(alice: Visit) -> None:
    answer = alice.post("keys/new", {"name": "idle", "scope": "some", "patterns": "gtp-*"})
    assert "matches no model that you may call now" in answer.text


def test_a_revoked_key_is_refused_at_once(alice: Visit, site: Site) -> None:
    key, secret = alice.mint("to be revoked")
    answer = alice.post(f"keys/{key}/revoke", {})
    assert (answer.status_code, answer.headers["location"]) == (303, "../../keys?done=revoked")
    assert not is_valid(site, secret)
    assert "The key is revoked" in alice.get("keys?done=revoked").text


def test_a_rotation_shows_the_new_secret_and_says_how_long_the_old_one_is_good(alice: Visit, site: Site) -> None:
    key, old = alice.mint("to be rotated")
    page = alice.post(f"keys/{key}/rotate", {"grace": "3600"}).text
    new = re.search(r">(sk-oai-\w+)<", page)
    assert new is not None
    assert "The old secret is good until" in page
    assert is_valid(site, old)
    assert is_valid(site, new[1])
    assert "refused from now on" in alice.post(f"keys/{key}/rotate", {"grace": "0"}).text
    assert not is_valid(site, new[1])


def test_another_s_key_looks_like_no_key(alice: Visit, other: Visit) -> None:
    key, _ = alice.mint("of alice alone")
    other.sign_in("bob")
    unknown = other.get("keys/00000000-0000-0000-0000-000000000000")
    for place in (f"keys/{key}", f"keys/{key}/revoke", f"keys/{key}/rotate"):
        answer = other.get(place)
        assert answer.status_code == 404
        assert re.findall(r'class="alert">(.*)<', answer.text) == re.findall(r'class="alert">(.*)<', unknown.text)
    for act in ("revoke", "rotate"):
        assert other.post(f"keys/{key}/{act}", {}).status_code == 404
    assert "of alice alone" not in other.get("keys").text
    assert "of alice alone" not in other.get("keys?user=alice").text
    assert "of alice alone" not in other.get("keys?user=everyone").text


def test_an_admin_finds_and_revokes_anyone_s_key_and_rotates_none(alice: Visit, other: Visit, site: Site) -> None:
    key, secret = alice.mint("an admin looks at")
    other.sign_in("root")
    assert "an admin looks at" not in other.get("keys").text
    assert "an admin looks at" in other.get("keys?user=alice").text
    assert "an admin looks at" in other.get("keys?user=everyone").text
    assert other.post(f"keys/{key}/rotate", {"grace": "0"}).status_code == 403
    assert is_valid(site, secret)
    assert other.post(f"keys/{key}/revoke", {}).status_code == 303
    assert not is_valid(site, secret)


def test_a_list_has_pages(alice: Visit) -> None:
    for number in range(26):
        alice.mint(f"page {number}")
    first = alice.get("keys?q=page").text
    assert 'href="?q=page&amp;status=&amp;user=&amp;page=2"' in first
    second = alice.get("keys?q=page&page=2").text
    assert "page 0" in first + second
    assert second.count('<th scope="row">') == 1
    assert alice.get("keys?page=-1&status=active").status_code == 200
    assert alice.get("keys?status=lost").status_code == 400


def test_models_are_those_that_the_visitor_may_call(alice: Visit, other: Visit) -> None:
    page = alice.get("models").text
    assert "gpt-4o-mini" in page
    assert "128k" in page
    assert "0.15 in, 0.60 out USD" in page
    assert "the gateway has no route to the provider mistral" in page
    assert "for-admins-only" not in page
    assert alice.get("model?id=for-admins-only").status_code == 404
    other.sign_in("root")
    assert "for-admins-only" in other.get("models").text
    assert other.get("model?id=for-admins-only").status_code == 200
    assert "gpt-4o-mini" not in alice.get("models?q=claude").text


def test_a_model_says_how_to_call_it_from_the_clients_that_can(alice: Visit) -> None:
    page = alice.get("model?id=gpt-4o-mini").text
    assert f"export MAAS_URL={GATEWAY}" in page
    for client in ("openai (Python)", "Codex", "aider", "curl, /v1/chat/completions"):
        assert f"<summary>{client}</summary>" in page
    assert "Claude Code" in alice.get("model?id=claude-sonnet-4-20250514").text
    embeddings = alice.get("model?id=text-embedding-3-small").text
    assert "/v1/embeddings" in embeddings


def test_usage_is_the_visitor_s_own_and_an_admin_s_everyone(alice: Visit, other: Visit, site: Site) -> None:
    key, _ = alice.mint("counted")
    used(site, "alice", key, "gpt-4o-mini", days_ago=1, tokens=(700_000, 70_123))
    used(site, "bob", "bobs-key", "gpt-4o-mini", days_ago=2, tokens=(11, 99_999_000))
    page = alice.get("usage").text
    assert "770,123" in page
    assert "99,999" not in page
    assert "99,999" not in alice.get("usage?whose=everyone").text
    assert "counted" in page
    assert f'href="keys/{key}"' in page
    other.sign_in("root")
    everyone = other.get("usage?whose=everyone").text
    assert "100,769,134" in everyone
    assert ">bob<" in everyone
    assert "770,123" not in other.get("usage").text
    assert "770,123" in other.get(f"keys/{key}").text


def test_the_file_has_the_numbers_of_the_page(alice: Visit, site: Site) -> None:
    key, _ = alice.mint("in a file")
    used(site, "alice", key, "claude-sonnet-4-20250514", days_ago=3, tokens=(500, 50))
    answer = alice.get("usage.csv?days=7")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = [row for row in csv.DictReader(io.StringIO(answer.text)) if row["key"] == key]
    assert [(row["model"], row["keyName"], row["totalTokens"]) for row in rows] == [
        ("claude-sonnet-4-20250514", "in a file", "550")
    ]
    assert "costUSD" in rows[0]


def test_a_bulk_revocation_is_counted_first(alice: Visit, other: Visit, site: Site) -> None:
    _, secret = alice.mint("in bulk")
    other.sign_in("bob")
    for place in ("people", "catalog"):
        assert other.get(place).status_code == 403
    assert other.post("people/revoke", {"username": "alice", "step": "revoke"}).status_code == 403
    other.post("sign-out", {})
    other.sign_in("root")
    counted = other.post("people/revoke", {"username": "alice", "step": "count"}).text
    assert re.search(r"<strong>\d+ active keys</strong> of user alice", counted)
    assert is_valid(site, secret)
    assert "are revoked" in other.post("people/revoke", {"username": "alice", "step": "revoke"}).text
    assert not is_valid(site, secret)
    assert "at least one of username or subscription" in other.post("people/revoke", {"step": "count"}).text


def test_the_catalog_says_what_is_wrong_and_how_fresh_it_is(other: Visit) -> None:
    other.sign_in("root")
    page = other.get("catalog").text
    assert "contxtWindow" in page
    assert "spoiled" in page
    assert '<span class="badge active">live</span>' in page
    assert "the gateway has no route to the provider mistral" in page


def test_addresses_without_a_page_say_so(alice: Visit) -> None:
    assert alice.get("nothing").status_code == 404
    assert "There is no such page" in alice.get("nothing/at/all").text
    assert alice.http.get("/").headers["location"] == "ui/"
    assert alice.http.get("/ui").headers["location"] == "ui/"
    assert alice.get("").headers["location"] == "keys"
    assert 'href="../../../assets/page.css' in alice.get("nothing/at/all/x").text


# -- behind a gateway

ANN = {"X-MaaS-Username": "ann", "X-MaaS-Group": '["developers"]'}


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page where a gateway says who looks."""
    with running(tmp_path_factory.mktemp("behind"), page="gateway", gateway_url="") as made:
        yield made.url


def test_behind_a_gateway_the_visitor_is_whom_it_names(behind: str) -> None:
    assert 'title="ann"' in httpx.get(f"{behind}/ui/keys", headers=ANN).text
    nobody = httpx.get(f"{behind}/ui/keys")
    assert (nobody.status_code, "Nobody is signed in" in nobody.text) == (401, True)
    assert httpx.get(f"{behind}/").status_code == 404
    assert "Sign out" not in httpx.get(f"{behind}/ui/keys", headers=ANN).text
    answer = httpx.post(f"{behind}/ui/sign-in", data={"token": TOKENS["alice"]}, headers=SAME | ANN)
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer sk-oai-something"},
        {"X-MaaS-Models": '["gpt-4o-mini"]'},
        {"X-MaaS-Budget": "1 tokens/day"},
    ],
    ids=str,
)
def test_behind_a_gateway_an_api_key_does_not_open_the_page(behind: str, headers: dict[str, str]) -> None:
    assert httpx.get(f"{behind}/ui/keys", headers=ANN | headers).status_code == 403


def test_behind_a_gateway_forms_need_their_user_s_token_and_the_page_s_origin(behind: str) -> None:
    def token(headers: dict[str, str]) -> str:
        found = re.search(
            r'name="form_token" value="([^"]+)"', httpx.get(f"{behind}/ui/keys/new", headers=headers).text
        )
        assert found is not None
        return found[1]

    def post(form_token: str, headers: dict[str, str]) -> int:
        fields = {"name": "made", "scope": "all", "unit": "days", "form_token": form_token}
        return httpx.post(f"{behind}/ui/keys/new", data=fields, headers=headers).status_code

    assert post(token(ANN), ANN | SAME) == 201
    assert post(token(ANN), ANN | {"Sec-Fetch-Site": "cross-site"}) == 403
    assert post(token(ANN | {"X-MaaS-Username": "eve"}), ANN | SAME) == 403
    assert post("", ANN | SAME) == 403


def test_behind_a_gateway_the_address_is_the_one_that_the_browser_used(behind: str) -> None:
    headers = ANN | {"Host": "maas.example.com", "X-Forwarded-Proto": "https"}
    page = httpx.get(f"{behind}/ui/model?id=gpt-4o-mini", headers=headers).text
    assert "export MAAS_URL=https://maas.example.com" in page


def test_switched_off_there_is_no_page(tmp_path: Path) -> None:
    with running(tmp_path, page="off") as made:
        for place in ("/", "/ui", "/ui/", "/ui/keys", "/ui/assets/page.js"):
            assert httpx.get(f"{made.url}{place}", headers=ANN).status_code == 404
