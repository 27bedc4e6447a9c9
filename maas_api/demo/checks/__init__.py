"""The promises beside the table, each measured on the running stack. A check returns what it measured or raises."""

from __future__ import annotations

from collections.abc import Sequence

from maas_api.demo.checks.access import authorizer_down, forged_identity, junk_key, no_credential, revoked_key
from maas_api.demo.checks.answers import one_listing, streaming
from maas_api.demo.checks.issuer import made_for_others, rotated, signs_in
from maas_api.demo.checks.leaks import maas_keys, provider_keys
from maas_api.demo.checks.session import Check, CheckError, Session, run

__all__ = ["CHECKS", "ISSUER_CHECKS", "Check", "CheckError", "Session", "run"]

CHECKS: Sequence[tuple[str, Check]] = (
    ("one listing for all models", one_listing),
    ("no credential: 401", no_credential),
    ("junk key: 401", junk_key),
    ("revoked key: 401 at the next request", revoked_key),
    ("forged X-MaaS-Username ignored", forged_identity),
    ("a stream arrives in separate chunks", streaming),
    ("ext_authz down: refused", authorizer_down),
    ("provider keys seen by providers only", provider_keys),
    ("the MaaS key seen by no provider", maas_keys),
)
"""Promise and check, in the order they run: the searches come last, over everything that happened before."""

ISSUER_CHECKS: Sequence[tuple[str, Check]] = (
    ("a user of the issuer signs in, mints and calls", signs_in),
    ("an issuer's token for others: 401", made_for_others),
    ("the issuer rotates its key", rotated),
)
"""With ``--oidc``, before the searches."""
