"""Kuadrant's AuthPolicy of maas-api's own route: who the caller is, said in the headers the service believes.

The lists are written by Authorino's own ``@tostr``: text put together in CEL would not escape a group's name.
"""

from __future__ import annotations

from maas_api.gateway.manifests.authpolicy import CALLBACK, IS_KEY, KEY, caller_rules
from maas_api.gateway.manifests.options import Options
from maas_api.gateway.manifests.resources import Manifest
from maas_api.identity import headers

ROUTE = "maas-api-route"
_ANSWER = f"auth.metadata.{CALLBACK}"
_HAS_ALLOW_LIST = f"{IS_KEY} && has(auth.metadata) && has({_ANSWER}) && has({_ANSWER}.models)"


def own_auth_policy(options: Options) -> Manifest:
    """The policy on the HTTPRoute of maas-api itself, in its own namespace (left to whoever applies it).

    The credential goes on to the service as ``Authorization``, wherever the client's SDK put it.
    """
    rules = caller_rules(options)
    rules["response"]["success"] = {"headers": _identity()}
    return {
        "apiVersion": "kuadrant.io/v1",
        "kind": "AuthPolicy",
        "metadata": {"name": "maas-api-auth-policy", "labels": {"app.kubernetes.io/name": "maas-api"}},
        "spec": {
            "targetRef": {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": ROUTE},
            "rules": rules,
        },
    }


def _identity() -> Manifest:
    """A condition that cannot be evaluated leaves its header out, and the service answers 401 without it."""
    username, group = headers.USERNAME.lower(), headers.GROUP.lower()
    subscription, models = headers.SUBSCRIPTION.lower(), headers.MODELS.lower()
    return {
        "username": _expression(username, f"{IS_KEY} ? {_ANSWER}.username : auth.identity.user.username"),
        "key-groups": _selector(group, IS_KEY, f"{_ANSWER}.groups.@tostr"),
        "token-groups": _selector(group, f"!{IS_KEY}", "auth.identity.user.groups.@tostr"),
        "key-subscription": {"when": [{"predicate": IS_KEY}], **_expression(subscription, f"{_ANSWER}.subscription")},
        "key-models": _selector(models, _HAS_ALLOW_LIST, f"{_ANSWER}.models.@tostr"),
        "key": {"when": [{"predicate": IS_KEY}], **_expression("authorization", f'"Bearer " + {KEY}')},
    }


def _expression(header: str, cel: str) -> Manifest:
    return {"key": header, "plain": {"expression": cel}}


def _selector(header: str, when: str, selector: str) -> Manifest:
    return {"key": header, "when": [{"predicate": when}], "plain": {"selector": selector}}
