"""A session is its user's: it cannot be guessed, planted, read, kept past its end, or used by another site."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from maas_api.identity.headers import Identity
from maas_api.identity.tokens import Refused
from maas_api.page.sessions import Session, Sessions
from maas_api.page.statements import PageStore, SignedIn
from tests.api.page.conftest import SAME, Visit
from tests.support.site import TENANT, TOKENS, Site

COOKIE = "maas_session"


def is_in(visit: Visit) -> bool:
    """Whether the page knows this browser."""
    return visit.get("keys").status_code == 200


def test_a_token_signs_in_and_only_the_token_s_user(alice: Visit) -> None:
    page = alice.get("keys")
    assert page.status_code == 200
    assert 'title="alice"' in page.text


@pytest.mark.parametrize("token", ["", "nobody-has-this-token", TOKENS["alice"] + "x", TOKENS["alice"].upper()])
def test_another_token_signs_nobody_in(visit: Visit, token: str) -> None:
    answer = visit.post("sign-in", {"token": token})
    assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
    assert not token or token not in answer.text
    assert not is_in(visit)


def test_an_api_key_is_no_way_in_and_is_told_so(alice: Visit, other: Visit) -> None:
    _, secret = alice.mint("no way in")
    answer = other.post("sign-in", {"token": secret})
    assert answer.status_code == 401
    assert "This is an API key" in answer.text
    assert secret not in answer.text


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(visit: Visit) -> None:
    kept = visit.sign_in("alice").headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=28800"} <= set(kept.split("; "))
    assert "Secure" not in kept  # this connection is not


def test_over_tls_the_cookie_is_bound_to_it_and_to_this_host(tmp_path: Path) -> None:
    from maas_api.app import build
    from maas_api.config import load

    tokens = tmp_path / "tokens.yaml"
    tokens.write_text(f'[{{"token": "{TOKENS["alice"]}", "username": "alice", "groups": ["a"]}}]')
    flags = {"sqlite_path": str(tmp_path / "k.db"), "manifests": str(tmp_path), "kubernetes": "off", "page": "local"}
    service = build(load(flags | {"tokens_file": str(tokens)}, {}))
    service.start()
    try:
        answer = service.flask.test_client().post(
            "/ui/sign-in", base_url="https://127.0.0.1", data={"token": TOKENS["alice"]}, headers=SAME
        )
    finally:
        service.stop()
    assert answer.status_code == 303
    assert answer.headers["Set-Cookie"].startswith("__Host-maas_session=")
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(answer.headers["Set-Cookie"].split("; "))


# -- theft


def test_what_the_store_holds_opens_nothing(alice: Visit, other: Visit, site: Site) -> None:
    cookie = alice.http.cookies[COOKIE]
    number = cookie.partition(".")[0]
    rows = site.sql("SELECT * FROM maas_page_sessions")
    text = repr(rows)
    assert hashlib.sha256(number.encode()).hexdigest() in text
    assert number not in text
    assert TOKENS["alice"] not in text
    for stolen in {row.id_hash for row in rows}:
        other.http.cookies.set(COOKIE, f"{stolen}.{cookie.partition('.')[2]}")
        assert not is_in(other)


def test_a_number_without_the_installation_s_signature_opens_nothing(alice: Visit, other: Visit) -> None:
    number, _, tag = alice.http.cookies[COOKIE].partition(".")
    for forged in (
        number,
        f"{number}.",
        f"{number}.{tag[:-1]}",
        f"{number}.{'A' * len(tag)}",
        f".{tag}",
        f"x{number}.{tag}",
    ):
        other.http.cookies.set(COOKIE, forged)
        assert not is_in(other), forged


def test_a_form_s_token_is_no_session_and_a_session_is_no_form_s_token(alice: Visit, other: Visit) -> None:
    token, cookie = alice.form_token(), alice.http.cookies[COOKIE]
    other.http.cookies.set(COOKIE, f"{cookie.partition('.')[0]}.{token}")
    assert not is_in(other)
    tag = cookie.partition(".")[2]
    answer = alice.http.post("/ui/keys/new", data={"name": "x", "form_token": tag}, headers=SAME)
    assert answer.status_code == 403


def test_the_cookie_is_in_no_page(alice: Visit) -> None:
    number, _, tag = alice.http.cookies[COOKIE].partition(".")
    for place in ("keys", "keys/new", "models", "usage"):
        text = alice.get(place).text
        assert number not in text, place
        assert tag not in text, place


# -- fixation


def test_a_number_that_a_browser_brings_along_is_never_taken_over(visit: Visit, other: Visit) -> None:
    visit.sign_in("bob")
    planted = visit.http.cookies[COOKIE]
    other.http.cookies.set(COOKIE, planted, domain="127.0.0.1", path="/")
    assert other.sign_in("alice").status_code == 303
    assert other.http.cookies.get(COOKIE, domain="127.0.0.1", path="/") != planted
    assert not is_in(visit), "the planted number is of no more use to whoever planted it"


def test_a_made_up_number_does_not_become_a_session(visit: Visit) -> None:
    visit.http.cookies.set(COOKIE, "chosen-by-somebody.else", domain="127.0.0.1", path="/")
    assert visit.sign_in("alice").status_code == 303
    assert "chosen-by-somebody" not in visit.http.cookies.get(COOKIE, domain="127.0.0.1", path="/")


# -- expiry and revocation


def test_a_session_is_over_when_its_time_is(alice: Visit, site: Site) -> None:
    assert is_in(alice)
    past = (datetime.now(UTC) - timedelta(seconds=1)).strftime("%Y-%m-%d %H:%M:%S.000000")
    site.sql("UPDATE maas_page_sessions SET expires_at = :past WHERE username = 'alice'", past=past)
    assert not is_in(alice)


def test_a_stolen_cookie_is_dead_once_its_user_signs_out(alice: Visit, other: Visit) -> None:
    other.http.cookies.set(COOKIE, alice.http.cookies[COOKIE])
    assert is_in(other)
    answer = alice.post("sign-out", {})
    assert answer.status_code == 303
    assert f"{COOKIE}=;" in answer.headers["set-cookie"]
    assert not is_in(other)
    assert not is_in(alice)


def test_an_admin_ends_every_session_of_a_user_and_nobody_else_can(alice: Visit, other: Visit) -> None:
    other.sign_in("bob")
    assert other.post("people/sessions", {"username": "alice"}).status_code == 403
    assert is_in(alice)
    other.post("sign-out", {})
    other.sign_in("root")
    assert "sessions of user alice are over" in other.post("people/sessions", {"username": "alice"}).text
    assert not is_in(alice)
    assert is_in(other)


def test_a_session_ends_with_the_token_that_began_it_and_its_groups_are_today_s(tmp_path: Path, site: Site) -> None:
    now = datetime.now(UTC)
    held: dict[str, Identity] = {"digest": Identity("carol", ("admins",))}
    sessions = Sessions(PageStore(site.database, TENANT), _Nobody(), timedelta(hours=1), lambda: now, held.get)
    made = sessions.by_link(sessions.link(Identity("carol", ("admins",)), "digest"))
    assert made is not None
    cookie = sessions.cookie(made)
    held["digest"] = Identity("carol", ("guests",))
    found = sessions.find(cookie)
    assert found is not None
    assert found.who.groups == ("guests",)
    del held["digest"]
    assert sessions.find(cookie) is None


def _token(**claims: object) -> str:
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + ".x"


@pytest.mark.parametrize(
    ("token", "hours"),
    [
        (lambda now: _token(exp=now + 3600), 1),
        (lambda now: _token(exp=now + 3600.5), 1),
        (lambda now: _token(exp=now + 9 * 3600), 8),
        (lambda now: _token(), 8),
        (lambda now: _token(exp="soon"), 8),
        (lambda now: "opaque", 8),
    ],
    ids=["earlier", "half a second more", "later", "unsaid", "odd", "no JWT"],
)
def test_a_session_ends_with_its_time_or_its_token_whichever_is_earlier(
    site: Site, token: Callable[[float], str], hours: int
) -> None:
    begun = datetime.now(UTC).replace(microsecond=0)
    now = [begun]
    sessions = Sessions(PageStore(site.database, TENANT), _Everybody(), timedelta(hours=8), lambda: now[0])
    made = sessions.by_token(token(begun.timestamp()))
    assert isinstance(made, Session)
    cookie = sessions.cookie(made)
    now[0] = begun + timedelta(hours=hours, seconds=-1)
    assert sessions.find(cookie) is not None
    now[0] = begun + timedelta(hours=hours, seconds=1)
    assert sessions.find(cookie) is None


def test_a_token_that_has_just_ended_begins_no_session(site: Site) -> None:
    now = datetime.now(UTC)
    sessions = Sessions(PageStore(site.database, TENANT), _Everybody(), timedelta(hours=8), lambda: now)
    refused = sessions.by_token(_token(exp=now.timestamp() - 10))
    assert refused == Refused("The token has expired; sign in again.")


class _Everybody:
    """Every token is dora's: who issued it has said so."""

    def lookup(self, token: str, audiences: object = ()) -> Identity:
        return Identity("dora", ("users",))


def test_a_session_of_somebody_who_has_left_is_over_and_stands_again_when_they_are_back(site: Site) -> None:
    gone: set[str] = set()
    now, store = datetime.now(UTC), PageStore(site.database, TENANT)
    sessions = Sessions(store, _Nobody(), timedelta(hours=1), lambda: now, None, gone.__contains__)
    made = sessions.by_link(sessions.link(Identity("carol", ("admins",)), "digest"))
    assert made is not None
    cookie = sessions.cookie(made)
    assert sessions.find(cookie) is not None
    gone.add("carol")
    assert sessions.find(cookie) is None
    gone.clear()
    assert sessions.find(cookie) is not None


class _Nobody:
    """No token is anybody's."""

    def lookup(self, token: str) -> None:
        return None


def test_a_session_is_one_tenant_s(alice: Visit, site: Site) -> None:
    now = datetime.now(UTC)
    theirs = PageStore(site.database, "another tenant")
    theirs.begin("number", SignedIn(Identity("alice", ("a",)), "", now + timedelta(hours=1)), now)
    assert theirs.find("number", now) is not None
    assert PageStore(site.database, TENANT).find("number", now) is None
    assert theirs.key() != PageStore(site.database, TENANT).key()


# -- links


def test_a_link_signs_in_once(visit: Visit, other: Visit, site: Site) -> None:
    digest = hashlib.sha256(TOKENS["alice"].encode()).hexdigest()
    sessions = Sessions(PageStore(site.database, TENANT), _Nobody(), timedelta(hours=1), lambda: datetime.now(UTC))
    code = sessions.link(Identity("alice", ("developers",)), digest)
    assert code not in repr(site.sql("SELECT * FROM maas_page_links"))
    assert visit.post("sign-in", {"code": code, "token": ""}).status_code == 303
    assert is_in(visit)
    again = other.post("sign-in", {"code": code, "token": ""})
    assert (again.status_code, "This link was used" in again.text) == (401, True)
    assert not is_in(other)


def test_a_link_is_over_after_its_hour(visit: Visit, site: Site) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=61)
    sessions = Sessions(PageStore(site.database, TENANT), _Nobody(), timedelta(hours=1), lambda: long_ago)
    code = sessions.link(Identity("alice", ("developers",)), "")
    assert visit.post("sign-in", {"code": code, "token": ""}).status_code == 401


# -- other sites


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},  # another port of this machine
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://127.0.0.1:1"},
    {},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("place", ["keys/new", "sign-out", "sign-in"])
def test_a_form_of_another_site_is_refused_even_with_the_right_token(
    alice: Visit, headers: dict[str, str], place: str
) -> None:
    answer = alice.post(place, {"name": "theirs", "token": TOKENS["alice"]}, headers)
    assert answer.status_code == 403
    assert "was not sent by the page itself" in answer.text
    assert "set-cookie" not in answer.headers
    assert is_in(alice)
    assert "theirs" not in alice.get("keys").text


@pytest.mark.parametrize("token", ["", "guessed", None])
def test_a_form_without_this_visitor_s_token_is_refused(alice: Visit, other: Visit, token: str | None) -> None:
    other.sign_in("bob")
    fields = {"name": "theirs", "form_token": other.form_token() if token is None else token}
    assert alice.http.post("/ui/keys/new", data=fields, headers=SAME).status_code == 403
    assert "theirs" not in alice.get("keys").text


def test_an_old_browser_says_its_origin_and_is_served(alice: Visit, site: Site) -> None:
    assert alice.post("keys/new", {"name": "old browser", "scope": "all"}, {"Origin": site.url}).status_code == 201


@pytest.mark.parametrize(
    "headers",
    [
        {"X-MaaS-Username": "root", "X-MaaS-Group": '["maas-admins"]'},
        {"X-Forwarded-For": "10.0.0.1"},
        {"Via": "1.1 proxy"},
        {"Host": "evil.example"},  # a name of somebody else's that leads to this machine
    ],
    ids=str,
)
def test_the_page_that_signs_in_itself_answers_nothing_that_was_passed_on(
    alice: Visit, headers: dict[str, str]
) -> None:
    answer = alice.get("keys", headers=headers)
    assert answer.status_code == 403
    assert "root" not in answer.text


def test_a_get_changes_nothing(alice: Visit) -> None:
    key, _ = alice.mint("stays")
    for place in (f"keys/{key}/revoke", f"keys/{key}/rotate", "sign-out", "keys/new?name=made"):
        alice.get(place)
    assert is_in(alice)
    page = alice.get("keys").text
    assert "stays" in page
    assert '<span class="badge revoked">' not in page


def test_without_a_session_nothing_is_shown_and_nothing_done(visit: Visit) -> None:
    for place in ("keys", "keys/new", "models", "model?id=gpt-4o-mini", "usage", "usage.csv", "people", "catalog"):
        answer = visit.get(place)
        assert (answer.status_code, answer.next_request and answer.next_request.url.path) == (303, "/ui/sign-in"), place
    assert visit.http.post("/ui/keys/new", data={"name": "x"}, headers=SAME).status_code == 401


@pytest.mark.parametrize("place", ["sign-in", "keys", "nothing", "assets/page.js", "assets/nothing"])
def test_every_answer_carries_the_page_s_defences(alice: Visit, place: str) -> None:
    headers = alice.get(place).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert (headers["x-frame-options"], headers["x-content-type-options"]) == ("DENY", "nosniff")
    assert headers["cache-control"] == ("no-store" if not place.startswith("assets/page") else "no-cache")


def test_a_token_is_not_in_the_log(visit: Visit, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        visit.sign_in("alice")
        visit.post("sign-in", {"token": "somebody-s-mistyped-token"})
    assert TOKENS["alice"] not in caplog.text
    assert "somebody-s-mistyped" not in caplog.text
    assert httpx.URL(visit.http.base_url).query == b""
