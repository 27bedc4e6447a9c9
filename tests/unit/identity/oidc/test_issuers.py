"""Which issuers the settings name, and what is refused at start so that two people never have one name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from maas_api.config import ConfigError, load
from maas_api.identity.assembly import issuers_of, tokens
from maas_api.identity.oidc.issuer import Issuer

ONE = "https://sso.example.com/realms/one"
FLAGS = {"oidc_issuer": ONE, "oidc_audiences": "maas, models"}


def of_file(folder: Path, text: str) -> tuple[Issuer, ...]:
    path = folder / "issuers.yaml"
    path.write_text(text)
    return issuers_of(load({"oidc_file": str(path)}, {}))


def test_one_issuer_by_its_flags() -> None:
    assert issuers_of(load(FLAGS, {})) == (Issuer(ONE, ("maas", "models")),)
    more = {"oidc_authorized_parties": "cli", "oidc_username_claim": "email", "oidc_username_prefix": "sso:"}
    assert issuers_of(load({**FLAGS, **more, "oidc_groups_claim": "roles", "oidc_groups_prefix": "g:"}, {})) == (
        Issuer(ONE, ("maas", "models"), ("cli",), "email", "sso:", "roles", "g:"),
    )


def test_several_by_a_file(tmp_path: Path) -> None:
    text = f"""
- {{issuer: {ONE}, audiences: [maas], username_prefix: "a:"}}
- {{issuer: https://login.example.com, audiences: [maas, x], authorized_parties: [cli], username_prefix: "b:"}}
"""
    found = of_file(tmp_path, text)
    assert found == (
        Issuer(ONE, ("maas",), username_prefix="a:"),
        Issuer("https://login.example.com", ("maas", "x"), ("cli",), username_prefix="b:"),
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"oidc_issuer": "http://sso.example.com"}, "issuer: must be an https:// URL"),
        ({"oidc_issuer": "https://user:pw@sso.example.com"}, "issuer: must be an https:// URL"),
        ({"oidc_issuer": "https://sso.example.com?a=b"}, "issuer: must be an https:// URL"),
        ({"oidc_audiences": ""}, "audiences: at least one"),
        ({"oidc_username_prefix": "system:"}, "username_prefix: must be printable ASCII"),
        ({"oidc_groups_prefix": "system:x"}, "groups_prefix: must be printable ASCII"),
        ({"oidc_username_prefix": "a b"}, "username_prefix: must be printable ASCII"),
        ({"token_review": "true"}, "username_prefix: must not be empty beside --token-review"),
    ],
)
def test_flags_that_would_let_strangers_in_are_refused(change: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        issuers_of(load({**FLAGS, **change}, {}))
    assert str(refusal.value).startswith("--oidc-issuer (OIDC_ISSUER): ")
    assert says in str(refusal.value)


def test_beside_a_token_file_names_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text("[]")
    with pytest.raises(ConfigError, match="must not be empty beside --tokens-file"):
        issuers_of(load({**FLAGS, "tokens_file": str(path)}, {}))
    assert issuers_of(load({**FLAGS, "tokens_file": str(path), "oidc_username_prefix": "sso:"}, {}))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[", "cannot be read as YAML"),
        ("", "must be a list of issuers"),
        ("[]", "must be a list of issuers"),
        ("- alice", "entry 1: must have issuer and audiences, got str"),
        ("- {issuer: https://a.example, audience: [maas]}", "entry 1: unknown field 'audience'"),
        ("- {issuer: https://a.example}", "entry 1: audiences: at least one"),
        ("- {issuer: https://a.example, audiences: maas}", "entry 1: audiences: must be a list"),
        ("- {issuer: https://a.example, audiences: [' ']}", "entry 1: audiences: must be a list of non-blank"),
        ("- {issuer: 7, audiences: [maas]}", "entry 1: issuer: must be text, got int"),
        ("- {issuer: https://a.example, audiences: [maas], ca_file: /nowhere}", "entry 1: ca_file: no file at"),
        ("- {issuer: https://a.example, audiences: [maas], groups_claim: ' '}", "groups_claim: must not be blank"),
        ("- &a {issuer: https://a.example, audiences: [maas]}\n- *a", "https://a.example is given twice"),
        (
            "- {issuer: https://a.example, audiences: [m]}\n"
            "- {issuer: https://b.example, audiences: [m], username_prefix: 'b:'}",
            "'' and 'b:' begin alike",
        ),
        (
            "- {issuer: https://a.example, audiences: [m], username_prefix: 'b:x'}\n"
            "- {issuer: https://b.example, audiences: [m], username_prefix: 'b:'}",
            "'b:x' and 'b:' begin alike",
        ),
    ],
)
def test_a_wrong_file_is_refused_naming_file_entry_and_rule(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        of_file(tmp_path, text)
    assert str(tmp_path / "issuers.yaml") in str(refusal.value)
    assert says in str(refusal.value)


def test_one_issuer_by_flag_beside_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "issuers.yaml"
    path.write_text("[]")
    with pytest.raises(ConfigError, match=r"--oidc-file .*--oidc-issuer goes into it"):
        load({**FLAGS, "oidc_file": str(path)}, {})


def test_without_an_issuer_nothing_of_it_is_imported_or_runs() -> None:
    made = tokens(load({}, {}), None)
    assert (made.background, made.issuers) == ([], None)
    code = "import sys, maas_api.app; sys.exit(any(name == 'jwt' or name.startswith('jwt.') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
