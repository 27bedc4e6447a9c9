"""Two issuers that serve, a third that is down, and the authorizer in front of them with clocks that can be set."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from maas_api.gateway.authorizer import PREFIX, Authorizer
from maas_api.identity.oidc.fetch import Fetch
from maas_api.identity.oidc.issuer import Issuer
from maas_api.identity.oidc.keeper import Keeper
from maas_api.identity.oidc.source import OidcTokens
from maas_api.wire import Pending, Request
from tests.support.issuer import TestIssuer, issuers
from tests.support.wait import until

NOWHERE = "https://127.0.0.1:1"


class Answer(NamedTuple):
    """``who``: name and groups of whoever passes; ``says``: what is told to whoever does not."""

    status: int
    who: tuple[str, tuple[str, ...]] | None
    says: str


class _NoKeys:
    deadline = 1.0

    def check(self, raw_key: str) -> Any:
        raise AssertionError("asked about an API key")


class _NoCalls:
    def judge(self, call: Any, caller: Any) -> Any:
        raise AssertionError("asked about a call")


class World:
    """``a`` admits the party ``cli``; users of ``b`` are called ``b:...``, its groups are roles of a realm."""

    def __init__(self, ca: Path, served: list[TestIssuer]) -> None:
        self.a, self.b = served
        self.later = 0.0
        """Seconds by which every clock is ahead."""
        known = (
            Issuer(self.a.url, ("maas", "other"), ("cli",), username_prefix="a:", ca=ca),
            Issuer(self.b.url, ("maas",), (), "email", "b:", "realm_access.roles", "b:", ca),
            Issuer(NOWHERE, ("maas",), (), username_prefix="c:", ca=ca),
        )
        self.keepers = [Keeper(one.url, Fetch(one), clock=lambda: time.monotonic() + self.later) for one in known]
        tokens = OidcTokens(list(zip(known, self.keepers, strict=True)), wall=lambda: time.time() + self.later)
        self._authorizer = Authorizer(_NoKeys(), tokens, _NoCalls())  # type: ignore[arg-type]  # never asked here

    def ask(self, token: str) -> Answer:
        """What the gateway is told about a request with this token."""
        path = f"{PREFIX}/v1/models"
        lines = [(b"authorization", b"Bearer " + token.encode())]
        reply = self._authorizer.route(Request("GET", path, path, lines, b""))
        if isinstance(reply, Pending):
            reply = reply.promise.result(10)
        if reply.status != 200:
            return Answer(reply.status, None, json.loads(reply.body)["error"]["message"])
        told = dict(reply.headers)
        groups = tuple(json.loads(told[b"x-maas-group"]))
        return Answer(200, (told[b"x-maas-username"].decode(), groups), "")

    def waits(self, seconds: float) -> None:
        """Time passes."""
        self.later += seconds


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """A world whose issuers were read."""
    with issuers(folder, 2) as (ca, served):
        found = World(ca, served)
        for keeper in found.keepers:
            keeper.start()
        try:
            until(lambda: all(_tried(keeper) for keeper in found.keepers), what="each issuer was asked")
            yield found
        finally:
            for keeper in found.keepers:
                keeper.stop()


def _tried(keeper: Keeper) -> bool:
    report = keeper.report()
    return bool(report["keys"]) or "fault" in report
