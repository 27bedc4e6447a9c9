"""Callers signed in by the service itself, on a machine without a gateway (``--sign-in``).

The gateway's question is put to the same authorizer, and what it would tell the gateway (who calls, by which
subscription, limited to which models) is put on the request in the same headers. So that this can never stand beside a
gateway, or be reached through one, whatever a gateway or a proxy sets is refused: the caller who sends an identity,
and the caller whose address is not this machine's.
"""

from __future__ import annotations

import ipaddress

from maas_api import errors
from maas_api.gateway.authorizer import PREFIX, REMOVE
from maas_api.identity import headers
from maas_api.wire import FastRoute, Pending, RawHeaders, Reply, Request

ROOT = "/v1/"
"""What callers are signed in for; probes need no one, and ``/internal`` has its own guard."""

_SUBSCRIPTION = headers.SUBSCRIPTION.lower().encode()
"""The one identity header that is a caller's to send: a choice, checked where it is used."""
_FORWARDED = (b"x-maas-", b"x-envoy-", b"x-forwarded-", b"forwarded", b"via")
_REFUSED = errors.sdk(
    403,
    "maas-api signs callers in itself here (--sign-in): it takes no identity from headers, and no request that a "
    "gateway or a proxy passed on",
    code="not_directly_called",
).reply()


class SignIn:
    """Decides on each request of the API who calls."""

    def __init__(self, authorize: FastRoute) -> None:
        self._authorize = authorize

    def ask(self, method: str, path: str, lines: RawHeaders, client: str) -> Reply | Pending | None:
        """The authorizer's answer, see :func:`identified`, or a refusal. None where nobody need be known."""
        if not path.startswith(ROOT) or method == "OPTIONS":
            return None
        if not directly_called(lines, client):
            return _REFUSED
        return self._authorize(Request(method, PREFIX + path, PREFIX + path, lines, b""))


def directly_called(lines: RawHeaders, client: str) -> bool:
    """Whether a request comes from this machine and bears no header that a gateway or a proxy sets."""
    foreign = any(name.startswith(_FORWARDED) and name != _SUBSCRIPTION for name, _ in lines)
    return not foreign and _here(client)


def identified(lines: RawHeaders, answer: Reply) -> RawHeaders:
    """The request's headers as a gateway would pass them on after the authorizer's 200."""
    told = [line for line in answer.headers if line[0] != REMOVE]
    gone = {name for name, _ in told} | {
        name for key, value in answer.headers if key == REMOVE for name in value.split(b",")
    }
    return [*(line for line in lines if line[0] not in gone), *told]


def _here(client: str) -> bool:
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False
