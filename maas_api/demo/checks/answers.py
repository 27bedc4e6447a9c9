"""What a caller gets: one listing of everything, and streams as they are made."""

from __future__ import annotations

import statistics

from maas_api.demo.checks.session import LOCAL, Session, require
from maas_api.demo.client import Streamed
from maas_api.demo.seed import CALLS, Call
from maas_api.demo.stack import PAUSE


def one_listing(session: Session) -> str:
    """The key lists the local model and the external ones, and retrieves one whose id holds a slash."""
    client = session.stack.client
    answer = client.call("GET", "/v1/models", credential=session.key)
    require(answer.status == 200, f"GET /v1/models: {answer.brief()}")
    listed = [model["id"] for model in answer.json()["data"]]
    missing = [call.model for call in CALLS if call.model not in listed]
    require(not missing, f"not listed: {', '.join(missing)}; listed: {', '.join(listed)}")
    one = client.call("GET", f"/v1/models/{LOCAL.model}", credential=session.key)
    require(one.status == 200 and one.json()["id"] == LOCAL.model, f"GET /v1/models/{LOCAL.model}: {one.brief()}")
    return f"GET /v1/models: {', '.join(listed)}"


def streaming(session: Session) -> str:
    """A streamed answer arrives as it is made, not all at its end."""
    parts = []
    for call in CALLS:
        body = {**call.body, "max_tokens": 8, "stream": True}
        streamed = session.stack.client.stream(call.path, credential=session.key, body=body)
        require(streamed.status == 200, f"{call.label}: stream answered {streamed.status}")
        parts.append(_separate(call, streamed, simulated=session.stack.simulated(call.provider)))
    return "; ".join(parts)


def _separate(call: Call, streamed: Streamed, *, simulated: bool) -> str:
    count = len(streamed.pieces)
    # The mean, not the median: on a busy machine this reader is late for some chunks and early for the next.
    apart = statistics.fmean(streamed.gaps) if streamed.gaps else 0.0
    shown = f"{call.label}: {count} chunks, {apart * 1000:.0f} ms apart"
    require(count >= 2, f"{shown}: expected several")
    if simulated:
        require(count >= 4, f"{shown}: expected at least 4")
        require(apart >= PAUSE / 2, f"{shown}: the sender pauses {PAUSE * 1000:.0f} ms, so something holds them back")
    return shown
