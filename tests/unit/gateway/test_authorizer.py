"""May this request pass, and as whom: what the gateway asks, whom the authorizer asks, and what comes of it."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from maas_api.gateway.authorizer import TOKEN_DEADLINE
from maas_api.identity.headers import Identity
from maas_api.validation.verdict import refused
from tests.support.questions import LOOKUP_SECONDS, Gateway, valid

KEY = "sk-oai-" + "abc_def"
BEARER = f"Bearer {KEY}"
LOCAL = "POST /llm/opt/v1/chat/completions"
PROVIDER = "POST /external/openai/v1/chat/completions"
LISTING = "GET /v1/models"
BOB = Identity("bob", ("dev",))

NO_CREDENTIAL = "No credential: send Authorization: Bearer with an API key, or the key as x-api-key"
NOT_BEARER = "The Authorization header must be: Bearer, a space, the API key or platform token"
UNKNOWN = "The credential is neither an API key (sk-oai-...) nor a known platform token"
UNCHECKED = "The credential could not be checked now; try again"

# A key. -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [LOCAL, PROVIDER, "GET /llm/opt/v1/models"])
def test_a_good_key_passes_and_no_model_gets_to_see_it(gateway: Gateway, line: str) -> None:
    """``allows`` names every header of the identity and of credentials: each is set or removed, none is left over."""
    gateway().asks(line, authorization=BEARER).looks_up(KEY).learns(valid()).allows()


@pytest.mark.parametrize("line", [LISTING, "POST /maas-api/v1/api-keys", "GET /v1/models/opt"])
@pytest.mark.parametrize("header", ["authorization", "x_api_key", "api_key"])
def test_the_service_itself_gets_it_in_the_one_header_it_reads(gateway: Gateway, line: str, header: str) -> None:
    talk = gateway().asks(line, **{header: BEARER if header == "authorization" else KEY}).looks_up(KEY)
    talk.learns(valid()).allows(bearer=KEY)


def test_what_is_known_of_a_key_is_said_at_once(gateway: Gateway) -> None:
    gateway(remembered=valid()).asks(LOCAL, authorization=BEARER).looks_up(KEY).allows()


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER   "])
def test_the_scheme_is_read_as_http_says(gateway: Gateway, scheme: str) -> None:
    gateway().asks(LOCAL, authorization=scheme + KEY).looks_up(KEY).learns(valid()).allows()


@pytest.mark.parametrize(
    ("models", "travels"), [(("a,b", "ü*"), ("a,b", "ü*")), ((), ()), (None, None)], ids=["some", "none", "not limited"]
)
def test_an_allow_list_travels_as_json_and_an_empty_one_is_one(
    gateway: Gateway, models: tuple[str, ...] | None, travels: tuple[str, ...] | None
) -> None:
    talk = gateway().asks(LISTING, authorization=BEARER).looks_up(KEY).learns(valid(models=models))
    talk.allows(models=travels, bearer=KEY)


def test_a_key_without_a_subscription_passes_without_one(gateway: Gateway) -> None:
    """A client's own X-MaaS-Subscription is removed then."""
    talk = gateway().asks(LISTING, authorization=BEARER, x_maas_subscription="gold").looks_up(KEY)
    talk.learns(valid(subscription="")).allows(subscription="", bearer=KEY)


def test_a_wish_is_nothing_to_a_key(gateway: Gateway) -> None:
    talk = gateway().asks(LOCAL, authorization=BEARER, x_maas_subscription="platinum").looks_up(KEY)
    talk.learns(valid()).allows(subscription="gold")


def test_a_client_s_own_identity_counts_for_nothing(gateway: Gateway) -> None:
    forged = {"x_maas_username": "root", "x_maas_group": '["admins"]', "x_maas_models": '["*"]'}
    gateway().asks(LISTING, authorization=BEARER, **forged).looks_up(KEY).learns(valid()).allows(bearer=KEY)


@example(" alice", [], "")
@example("alice", [], "gold ")
@given(st.text(max_size=20), st.lists(st.text(max_size=10), max_size=3), st.text(max_size=20))
def test_no_name_can_break_out_of_its_header(username: str, groups: list[str], subscription: str) -> None:
    """``Question`` reads each header as ASCII, and once."""
    fits = [name == name.strip() and all(" " <= char <= "~" for char in name) for name in (username, subscription)]
    gateway = Gateway()
    talk = gateway().asks(LOCAL, authorization=BEARER).looks_up(KEY)
    talk.learns(valid(username, groups, subscription))
    if all(fits):
        talk.allows(username or "removed", groups, subscription)
    else:
        name = "X-MaaS-Subscription" if fits[0] else "X-MaaS-Username"
        talk.refuses(403, None, f"{name} cannot pass the gateway: it must be printable ASCII text")
    gateway.end()


def test_a_key_that_is_not_valid_is_refused_with_the_reason(gateway: Gateway) -> None:
    talk = gateway().asks(LOCAL, authorization=BEARER).looks_up(KEY).learns(refused("key revoked or expired"))
    talk.refuses(401, "invalid_api_key", "The API key is not accepted: key revoked or expired")


# A platform user's token. -----------------------------------------------------------------------------------------


def test_a_user_passes(gateway: Gateway) -> None:
    gateway().asks(LOCAL, authorization="Bearer a-token").reviews("a-token").learns(BOB).allows("bob", ["dev"], "")


def test_a_user_passes_with_the_subscription_wished_for_last(gateway: Gateway) -> None:
    talk = gateway().asks(LISTING, authorization="bearer  a-token", x_maas_subscription="old, new").reviews("a-token")
    talk.learns(BOB).allows("bob", ["dev"], "new", bearer="a-token")


def test_a_user_that_is_known_passes_at_once(gateway: Gateway) -> None:
    talk = gateway(remembered=BOB).asks(LOCAL, authorization="Bearer a-token").reviews("a-token")
    talk.allows("bob", ["dev"], "")


def test_a_wish_that_could_break_out_of_its_header_is_refused(gateway: Gateway) -> None:
    talk = gateway().asks(LOCAL, authorization="Bearer a-token", x_maas_subscription="a\xe9").reviews("a-token")
    talk.learns(BOB).refuses(403, None, "X-MaaS-Subscription cannot pass the gateway: it must be printable ASCII text")


def test_a_token_nobody_issued_is_refused(gateway: Gateway) -> None:
    talk = gateway().asks(LOCAL, authorization="Bearer a-token").reviews("a-token").learns(None)
    talk.refuses(401, "invalid_api_key", UNKNOWN)


@pytest.mark.parametrize("first", ["Bearer a-token", "Basic x", ""])
def test_an_api_key_counts_before_a_token_that_was_sent_beside_it(gateway: Gateway, first: str) -> None:
    talk = gateway().asks(LISTING, authorization=first, x_api_key=KEY).looks_up(KEY).learns(valid())
    talk.allows(bearer=KEY)


# Nobody to ask about. ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({}, NO_CREDENTIAL),
        ({"authorization": ""}, NO_CREDENTIAL),
        ({"authorization": "Bearer"}, NOT_BEARER),
        ({"authorization": "Bearer "}, NOT_BEARER),
        ({"authorization": KEY}, NOT_BEARER),
        ({"authorization": f"Basic {KEY}"}, NOT_BEARER),
        ({"x_api_key": "  "}, NO_CREDENTIAL),
        ({"cookie": KEY}, NO_CREDENTIAL),
    ],
    ids=str,
)
def test_without_a_usable_credential_nobody_is_asked(gateway: Gateway, headers: dict[str, str], message: str) -> None:
    gateway().asks(LOCAL, **headers).refuses(401, "invalid_api_key", message)


# Waiting. ---------------------------------------------------------------------------------------------------------


def test_a_key_s_lookup_is_waited_for_a_bounded_time(gateway: Gateway) -> None:
    talk = gateway().asks(LOCAL, authorization=BEARER).looks_up(KEY).passes(LOOKUP_SECONDS)
    talk.refuses(503, "unavailable", UNCHECKED).learns(valid())


def test_a_token_s_review_is_waited_for_a_bounded_time(gateway: Gateway) -> None:
    talk = gateway().asks(LOCAL, authorization="Bearer a-token").reviews("a-token").passes(TOKEN_DEADLINE)
    talk.refuses(503, "unavailable", UNCHECKED).learns(BOB)


def test_in_time_is_in_time(gateway: Gateway) -> None:
    talk = gateway().asks(LOCAL, authorization="Bearer a-token").reviews("a-token").passes(TOKEN_DEADLINE - 0.01)
    talk.learns(BOB).allows("bob", ["dev"], "")


@pytest.mark.parametrize("credential", [KEY, "a-token"])
def test_when_nobody_can_say_the_answer_is_no_and_the_log_tells_no_secret(
    gateway: Gateway, caplog: pytest.LogCaptureFixture, credential: str
) -> None:
    talk = gateway().asks(LOCAL, authorization=f"Bearer {credential}")
    talk = talk.looks_up(KEY) if credential == KEY else talk.reviews(credential)
    talk.learns(ConnectionError("the store's address and password")).refuses(503, "unavailable", UNCHECKED)
    logged = json.dumps([vars(record) for record in caplog.records], default=str)
    assert "ConnectionError" in logged
    assert "password" not in logged
    assert credential not in logged
