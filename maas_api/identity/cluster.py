"""The questions about callers that only the cluster can answer, over its API client."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from maas_api.identity.headers import Identity
from maas_api.identity.tokens import Review
from maas_api.kube.client import Client


def admin_question(client: Client, namespace: str) -> Callable[[Identity], bool]:
    """Asks whether a user may create MaaSAuthPolicies in ``namespace``: that makes an admin, as in the Go service."""
    attributes = {
        "namespace": namespace,
        "verb": "create",
        "group": "maas.opendatahub.io",
        "resource": "maasauthpolicies",
    }

    def ask(who: Identity) -> bool:
        return client.subject_access_review(who.username, who.groups, attributes)

    return ask


def token_question(client: Client) -> Review:
    """Asks whose token it is. A user without groups could not be told on in the identity headers, so is nobody."""

    def ask(token: str, audiences: Sequence[str]) -> Identity | None:
        user = client.token_review(token, tuple(audiences), seconds=0.8)
        return None if user is None or not user.groups else Identity(user.username, user.groups)

    return ask
