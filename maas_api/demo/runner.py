"""The walk: start the stack, make the validation's calls, run the checks, say what came out."""

from __future__ import annotations

import time
from collections.abc import Callable

from maas_api.demo.checks import CHECKS, ISSUER_CHECKS, Session, run
from maas_api.demo.one_url import ROOT_CALLS, call_at_root
from maas_api.demo.report import Report
from maas_api.demo.seed import CALLS, perform
from maas_api.demo.stack import Stack

Say = Callable[[str], None]


def measure(stack: Stack, say: Say) -> tuple[Report, str]:
    """Mint one key, call every model with it, run every check. Returns the report and the key.

    Raises CheckError when no key can be minted: nothing else can be measured then.
    """
    begun = time.monotonic()
    session = Session(stack, [])
    identifier, key = session.mint("demo")
    say(f"minted one key for {stack.user.username}: {identifier}")
    rows = []
    for call in CALLS:
        rows.append(perform(stack.client, call, key, simulated=stack.simulated(call.provider)))
        say(f"called {call.model} at {call.path}")
    one_url = []
    for root in ROOT_CALLS:
        simulated = stack.simulated(root.call.provider)
        one_url.append(call_at_root(stack.client, root, key, simulated=simulated))
        say(f"called {root.call.model} at the root, POST {root.call.path}")
    findings = []
    for promise, check in (*ISSUER_CHECKS, *CHECKS) if stack.issuer is not None else CHECKS:
        findings.append(run(promise, check, session))
        say(f"checked: {promise}")
    return Report(rows, stack.url, one_url, findings, time.monotonic() - begun), key
