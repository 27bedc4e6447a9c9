"""Nothing that lets someone in leaves through a log, a trace or an error text.

Three nets, each of which would be enough for its own kind of mistake:

* by shape: API keys of this service and of the providers, bearer values, JSON Web Tokens, hashes, PEM keys;
* by name: a field called ``authorization`` or ``password`` is blanked whatever it holds;
* by value: secrets this process has read from files (platform tokens, the database's password) are remembered and
  blanked wherever they turn up.

A key's display prefix (``sk-oai-`` and at most twelve characters, then ``...``) is meant to be shown and stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

BLANK = "[redacted]"


def _escapable(text: str) -> str:
    """An expression for the text, each character as it is or percent-encoded, however often: so paths are logged."""
    return "".join(f"(?:{re.escape(char)}|%(?:25)*{ord(char):02x})" for char in text)


class _Shape(NamedTuple):
    """``needs``: one of these is in every ASCII text, put in lower case, that it is found in. Without any it is the one
    that needs a text of its length."""

    needs: tuple[str, ...]
    pattern: re.Pattern[str]
    instead: str


_LONG: Final = 42
"""Letters and digits in a row: as many as one of our secrets has."""

# The order matters: a header's whole value goes before a shape inside it is looked for. Each shape takes time linear in
# the text: lines are written in the event loop, and the paths in them are a client's. Nearly every text has nothing of
# what shapes need, and to see that takes a twentieth of looking for them all.
_SHAPES: Final = (
    _Shape(
        ("-----begin ",),
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
        BLANK,
    ),
    # The user part of a URL, up to the last @ before the path: passwords may contain an @ where nobody escaped it.
    # Its scheme is not looked for: from every dot of a hostile path one would be begun and given up.
    _Shape(("://",), re.compile(r"://[^/\s\"'?#]*@"), f"://{BLANK}@"),
    _Shape(
        ("authorization", "api-key", "api_key", "apikey", "-secret", "_secret", "cookie", "password", "passwd"),
        re.compile(
            r"(?P<name>\b(?:proxy-)?authorization|\b(?:x-)?(?:goog-)?api[-_]?key|\bx-maas-internal-secret|\b(?:set-)?cookie"
            r"|\bpassword|\bpasswd|\bclient_secret|\bsslpassword)"
            r"(?P<between>\\?[\"']?\)?\s*[:=,]\s*\(?(?:b(?=[\"']))?\\?[\"']?)"
            r"(?!(?:present|absent)\b)(?P<scheme>(?:bearer|basic|token|negotiate)\s+)?[^\s\"'\\,;&)}\]]+",
            re.IGNORECASE,
        ),
        rf"\g<name>\g<between>{BLANK}",
    ),
    _Shape(
        ("bearer", "basic"),
        re.compile(r"\b(?P<scheme>bearer|basic)(?P<space>\s+|%20)[A-Za-z0-9._~+/=:%-]{4,}", re.IGNORECASE),
        rf"\g<scheme>\g<space>{BLANK}",
    ),
    _Shape(
        ("sk-oai-", "%"),
        re.compile(rf"(?i:{_escapable('sk-oai-')})(?![0-9A-Za-z]{{1,12}}\.\.\.)[0-9A-Za-z_%]+"),
        f"sk-oai-{BLANK}",
    ),
    # OpenAI, Anthropic, OpenRouter, DeepSeek
    _Shape(("sk-",), re.compile(r"\bsk-(?!oai-)[A-Za-z0-9][A-Za-z0-9_-]{11,}"), f"sk-{BLANK}"),
    _Shape(
        (*("gsk_", "xai-", "hf_", "r8_", "pplx-", "nvapi-", "fw_", "aiza", "akia", "asia"), "gh", "glpat-"),
        re.compile(r"\b(?:gsk_|xai-|hf_|r8_|pplx-|nvapi-|fw_|AIza|AKIA|ASIA|gh[pousr]_|glpat-)[A-Za-z0-9_-]{12,}"),
        BLANK,
    ),
    # A JSON Web Token
    _Shape(("eyj",), re.compile(r"\beyJ[A-Za-z0-9_-]{5,1024}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"), BLANK),
    _Shape(("sha256~",), re.compile(r"\bsha256~[A-Za-z0-9_-]{10,}"), BLANK),  # an OpenShift token
    # A SHA-256 in hex, and any run of letters and digits as long as one of our secrets: no word and no id is.
    _Shape((), re.compile(rf"(?<![A-Za-z0-9])[A-Za-z0-9]{{{_LONG},}}(?![A-Za-z0-9])"), BLANK),
    _Shape(("\\x",), re.compile(r"(?:\\x[0-9a-f]{2}[^\\]{0,6}){8,}"), BLANK),  # a digest as a bytes value's text
)

_NEEDS: Final = tuple((need, place) for place, shape in enumerate(_SHAPES) for need in shape.needs)
_OF_LENGTH: Final = next(place for place, shape in enumerate(_SHAPES) if not shape.needs)

_UUID_LENGTH, _UUID_LETTERS = 36, "0123456789abcdef-"
"""What nearly every request's id is made of. Nothing that a shape needs can be in it, and it is too short for the one
that needs a length."""

_NAMES = re.compile(
    r"(?:^|[_-])(?:authorization|api[_-]?key|key_hash|raw_key|plaintext|secret|token|password|passwd|cookie|credentials?)$",
    re.IGNORECASE,
)

_MIN_REMEMBERED = 6


class Redactor:
    """Blanks secrets in text and in values. One for the process; remembering is for start-up."""

    def __init__(self) -> None:
        self._remembered: frozenset[str] = frozenset()

    def remember(self, *secrets: str) -> None:
        """Blank these exact values from now on, percent-encoded too. Values under six characters are left alone:
        they would blank ordinary words."""
        fresh = {text for text in secrets if len(text) >= _MIN_REMEMBERED}
        self._remembered |= fresh | {quote(text, safe="") for text in fresh}

    def text(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._remembered:
            if secret in text:
                text = text.replace(secret, BLANK)
        if len(text) == _UUID_LENGTH and not text.strip(_UUID_LETTERS):
            return text
        if text.isascii():
            lower = text.lower()
            places = {place for need, place in _NEEDS if need in lower}
            if len(text) >= _LONG:
                places.add(_OF_LENGTH)
            if not places:
                return text
            shapes = [_SHAPES[place] for place in sorted(places)]
        else:  # letters such as the Kelvin sign pass for others where case does not matter
            shapes = list(_SHAPES)
        for shape in shapes:
            text = shape.pattern.sub(shape.instead, text)
        return text

    def value(self, value: Any, name: str = "") -> Any:
        """A value fit for JSON, without secrets: containers are walked, anything unusual becomes its text."""
        if (
            name
            and _NAMES.search(name)
            and value not in (None, "", "present", "absent")
            and not isinstance(value, bool)
        ):
            return BLANK
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(item, str(key)) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item) for item in value]
        if isinstance(value, bytes | bytearray):
            return self.text(bytes(value).decode("utf-8", "backslashreplace"))
        return self.text(str(value))


REDACTOR = Redactor()
"""The process's one redactor: what a module remembers, every output forgets."""


def remember_secrets(database_url: str, *shared: Path | None) -> None:
    """Have the process's redactor blank the database's password and the shared secrets in these files."""
    password = urlsplit(database_url).password
    if password:
        REDACTOR.remember(password, unquote(password))
    for file in shared:
        if file is not None:
            REDACTOR.remember(*(line.strip() for line in file.read_text("utf-8", "replace").splitlines()))
