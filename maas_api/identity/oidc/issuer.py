"""What an operator says of an issuer, and the rules that keep the users of several sources apart. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

_LISTS: Final = ("audiences", "authorized_parties")
_TEXTS: Final = ("username_claim", "username_prefix", "groups_claim", "groups_prefix", "ca_file")
FIELDS: Final = ("issuer", *_LISTS, *_TEXTS)
"""What an entry of ``--oidc-file`` may have: the flags' names without ``oidc-``."""


class Issuer(NamedTuple):
    """Whose tokens count, and what is read in them.

    ``url``: as the tokens say it (``iss``), compared byte by byte. ``audiences``: one of which a token must be for.
    ``parties``: one of which must have asked for the token (``azp``); empty for any. ``ca``: a file with the CAs of its
    certificate, None for the system's.
    """

    url: str
    audiences: tuple[str, ...]
    parties: tuple[str, ...] = ()
    username_claim: str = "sub"
    username_prefix: str = ""
    groups_claim: str = "groups"
    groups_prefix: str = ""
    ca: Path | None = None


def issuer(fields: Mapping[str, Any]) -> Issuer:
    """An issuer from an entry of ``--oidc-file``. Raises ValueError with the field and its rule."""
    unknown = sorted(str(name) for name in set(fields) - set(FIELDS))
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r}; known are {', '.join(FIELDS)}")
    for name in _LISTS:
        value = fields.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
            raise ValueError(f"{name}: must be a list of non-blank texts")
    for name in ("issuer", *_TEXTS):
        if not isinstance(fields.get(name, ""), str):
            raise ValueError(f"{name}: must be text, got {type(fields[name]).__name__}")  # noqa: TRY004 -- of the file
    ca = fields.get("ca_file") or None
    found = Issuer(
        fields.get("issuer", ""),
        tuple(fields.get("audiences", ())),
        tuple(fields.get("authorized_parties", ())),
        fields.get("username_claim", "sub"),
        fields.get("username_prefix", ""),
        fields.get("groups_claim", "groups"),
        fields.get("groups_prefix", ""),
        None if ca is None else Path(ca),
    )
    check(found)
    return found


def check(found: Issuer) -> None:
    """Raises ValueError with the field and its rule."""
    parts = urlsplit(found.url)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError(f"issuer: must be an https:// URL without user, query and fragment, got {found.url!r}")
    if not found.audiences:
        raise ValueError("audiences: at least one, or a token that was made for any other service would do")
    for name in ("username_claim", "groups_claim"):
        if not getattr(found, name).strip():
            raise ValueError(f"{name}: must not be blank")
    for name in ("username_prefix", "groups_prefix"):
        value = getattr(found, name)
        if not value.isascii() or not value.isprintable() or " " in value or value.startswith("system:"):
            raise ValueError(f"{name}: must be printable ASCII without spaces, and not begin with system:")
    if found.ca is not None and not found.ca.is_file():
        raise ValueError(f"ca_file: no file at {str(found.ca)!r}")


def keep_apart(issuers: Sequence[Issuer], *, others: str = "") -> None:
    """Raises ValueError where a user of one source could have the name of another's. ``others``: the option that
    brings users beside the issuers' ones, "" for none."""
    urls = [one.url for one in issuers]
    twice = next((url for url in urls if urls.count(url) > 1), None)
    if twice is not None:
        raise ValueError(f"issuer: {twice} is given twice")
    prefixes = [one.username_prefix for one in issuers]
    if others and "" in prefixes:
        raise ValueError(f"username_prefix: must not be empty beside {others}: two people could have one name")
    for number, prefix in enumerate(prefixes):
        for other in prefixes[number + 1 :]:
            if prefix.startswith(other) or other.startswith(prefix):
                raise ValueError(
                    f"username_prefix: {prefix!r} and {other!r} begin alike: a user of one issuer could have the name "
                    "of another's"
                )
