"""An API key's shape: what is made validates, what is damaged does not, and the hashes are the Go service's."""

from __future__ import annotations

import hashlib
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_api.gateway.authorizer import KEY_PREFIX
from maas_api.gateway.envoy.secrecy import KEY_SHAPE
from maas_api.gateway.manifests import authpolicy
from maas_api.keys import format as key_format
from maas_api.observability.redaction import REDACTOR

ALPHABET = key_format.ALPHABET
base62_text = st.text(alphabet=ALPHABET, min_size=1, max_size=60)


def made_from(seed: bytes) -> key_format.NewKey:
    """A key from chosen random bytes."""
    return key_format.make(lambda count: (seed * count)[:count])


def test_the_contract_s_hash_vector() -> None:
    key = "sk-oai-abc" + "_" + "def"
    assert key_format.hash_key(key) == "516a5e926ce20c5f4d80f00e1a01abdf14986def6588d6abeed9fce090bc660c"


def test_a_key_is_hashed_with_a_nul_between_its_parts_and_without_its_prefix() -> None:
    assert key_format.hash_key("sk-oai-a" + "_b") == hashlib.sha256(b"a\0b").hexdigest()


def test_an_old_key_is_hashed_whole() -> None:
    old = key_format.PREFIX + "Z" * 43
    assert key_format.hash_key(old) == hashlib.sha256(old.encode()).hexdigest()


@given(st.binary(min_size=32, max_size=32))
def test_every_made_key_has_one_length_and_validates_to_its_own_hash(seed: bytes) -> None:
    new = made_from(seed)
    assert len(new.plaintext) == 7 + 17 + 1 + 49
    assert key_format.hash_key(new.plaintext) == new.hash


@given(st.binary(min_size=32, max_size=32))
def test_the_go_service_hashes_a_made_key_to_the_same_value(seed: bytes) -> None:
    new = made_from(seed)
    key_id, _, secret = new.plaintext.removeprefix("sk-oai-").partition("_")
    assert hashlib.sha256(key_id.encode() + b"\0" + secret.encode()).hexdigest() == new.hash
    assert set(key_id + secret) <= set(ALPHABET)


@given(st.binary(min_size=32, max_size=32), st.integers(0, 48), st.sampled_from(ALPHABET))
def test_one_wrong_character_in_a_secret_is_noticed_without_a_lookup(seed: bytes, place: int, letter: str) -> None:
    key = made_from(seed).plaintext
    at = len(key) - 49 + place
    damaged = key[:at] + letter + key[at + 1 :]
    assert (key_format.hash_key(damaged) is None) == (damaged != key)


def test_the_checksum_covers_everything_before_it() -> None:
    key = key_format.make().plaintext
    number = 0
    for digit in key[-6:]:
        number = number * 62 + ALPHABET.index(digit)
    assert number == zlib.crc32(key[:-6].encode())


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "sk-oai-",
        "sk-oai-_",
        "sk-oai-a_",
        "sk-oai-_b",
        "sk-oai-a_b_c",
        "SK-OAI-a_b",
        " sk-oai-a_b",
        "sk-oai-a_b\n",
        "sk-oai-a_\u0661",  # a digit, but not an ASCII one
        "sk-oai-a-b",
        "Bearer sk-oai-a_b",
        "sk-oai-" + "a" * 44,  # 32 bytes never take 44 digits
    ],
)
def test_what_cannot_be_a_key_has_no_hash(raw: str) -> None:
    assert key_format.hash_key(raw) is None


@given(base62_text, base62_text.filter(lambda text: len(text) != 49))
def test_any_two_base62_parts_are_well_formed(key_id: str, secret: str) -> None:
    assert key_format.hash_key(f"sk-oai-{key_id}_{secret}") is not None


@given(st.text())
def test_no_text_makes_the_parser_fail(raw: str) -> None:
    key_format.hash_key(raw)
    key_format.hash_key("sk-oai-" + raw)


def test_the_display_prefix_shows_twelve_characters_of_the_id() -> None:
    new = key_format.make()
    assert new.prefix == new.plaintext[: 7 + 12] + "..."
    assert key_format.display_prefix("short") == "sk-oai-short..."


@given(st.binary(max_size=40))
def test_base62_reads_back_as_the_same_number(data: bytes) -> None:
    number = 0
    for digit in key_format.base62(data):
        number = number * 62 + ALPHABET.index(digit)
    assert number == int.from_bytes(data, "big")


def test_zero_is_one_digit() -> None:
    assert key_format.base62(bytes(12)) == "0"


class TestAnotherGatewaysKey:
    """Written in this shape, so that whatever knows a key by its shape knows it too."""

    OLD = "sk-1a2B3c_D4-e5F6g7H8"
    SPELLED = "sk-oai-was_" + OLD.encode().hex()

    def test_its_hash_is_that_of_the_old_key(self) -> None:
        assert key_format.hash_key(self.SPELLED) == hashlib.sha256(self.OLD.encode()).hexdigest()

    def test_gateways_and_logs_know_it_as_a_key(self) -> None:
        assert re.fullmatch(authpolicy._KEY, self.SPELLED)
        assert self.SPELLED.startswith((KEY_PREFIX, KEY_SHAPE))
        assert REDACTOR.text(f"got {self.SPELLED}.") == "got sk-oai-[redacted]."

    @given(st.binary(max_size=140))
    def test_a_key_has_one_spelling_and_nothing_else_is_spelled(self, old: bytes) -> None:
        may = 0 < len(old) <= 128 and all(0x21 <= byte <= 0x7E for byte in old) and not old.startswith(b"sk-oai-")
        for spelled in {old.hex(), old.hex().upper()}:
            found = key_format.hash_key("sk-oai-was_" + spelled)
            expected = hashlib.sha256(old).hexdigest() if may and spelled == old.hex() else None
            assert found == expected

    @given(st.binary(min_size=12, max_size=12), st.binary(min_size=32, max_size=32))
    def test_no_key_of_ours_is_known_by_another_spelling(self, key_id: bytes, secret: bytes) -> None:
        for plain in (
            key_format.make(lambda size: key_id if size == 12 else secret).plaintext,
            f"sk-oai-{key_format.base62(secret)}",
        ):
            assert key_format.hash_key("sk-oai-was_" + plain.encode().hex()) is None
