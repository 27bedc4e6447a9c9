"""Kuadrant's AuthPolicy of maas-api's own route: who the caller is, said in the headers the service believes.

The lists are written by Authorino's own ``@tostr``: text put together in CEL would not escape a group's name.
"""

from __future__ import annotations

from maas_api.gateway.manifests.authpolicy import ANSWER, CREDENTIAL, caller_rules, sent_as
from maas_api.gateway.manifests.options import Options, Target
from maas_api.gateway.manifests.resources import Manifest, listing_name, resource
from maas_api.identity import headers
from maas_api.providers import CREDENTIAL_HEADERS

ROUTE = "maas-api-route"


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


def listing_auth_policy(options: Options, target: Target) -> Manifest:
    """The policy on the route to a provider's list of models, which maas-api answers: the same, beside that route."""
    rules = caller_rules(options)
    rules["response"]["success"] = {"headers": _identity()}
    route = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": listing_name(target)}
    spec = {"targetRef": route, "rules": rules}
    policy = resource("kuadrant.io/v1", "AuthPolicy", f"{listing_name(target)}-auth", options, target, spec=spec)
    policy["metadata"]["namespace"] = options.api.namespace
    return policy


def _identity() -> Manifest:
    """A platform token's answer names no subscription and no models; then a user's own wish for one stays."""
    elsewhere = [sent_as(header) for header in CREDENTIAL_HEADERS if header != "authorization"]
    return {
        "username": _header(headers.USERNAME, f"{ANSWER}.username"),
        "groups": _header(headers.GROUP, f"{ANSWER}.groups.@tostr"),
        "subscription": _where_there(f"{ANSWER}.subscription", headers.SUBSCRIPTION),
        "models": _where_there(f"{ANSWER}.models", headers.MODELS, ".@tostr"),
        "credential": {
            "when": [{"any": elsewhere}],
            "key": "authorization",
            "plain": {"expression": f'"Bearer " + {CREDENTIAL}'},
        },
    }


def _header(name: str, selector: str) -> Manifest:
    return {"key": name.lower(), "plain": {"selector": selector}}


def _where_there(selector: str, name: str, modifier: str = "") -> Manifest:
    there = {"selector": selector, "operator": "neq", "value": ""}
    return {"when": [there], **_header(name, selector + modifier)}
