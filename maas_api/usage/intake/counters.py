"""What Prometheus is told of a batch that was taken in: by subscription and model, and no closer."""

from __future__ import annotations

from typing import Final

from maas_api.observability import metrics
from maas_api.usage.intake.batch import Taken

_COUNTED, _SKIPPED, _REPEATED = (metrics.usage_records.labels(result) for result in ("counted", "skipped", "repeated"))
_OUTCOMES: Final = ("metered", "unmetered", "error")
_KINDS: Final = ("input", "output", "cached", "reasoning")
_SERIES_MAX: Final = 1_000
_pairs: set[tuple[str, str]] = set()


def count(taken: Taken) -> None:
    """Count a batch. Models are the registry's and subscriptions the cluster's, so there are as many series as an
    operator made; should there be more than a thousand pairs, the rest is one."""
    if taken.repeated:
        _REPEATED.inc(taken.counted)
        return
    _COUNTED.inc(taken.counted)
    _SKIPPED.inc(taken.skipped)
    for place, tally in taken.tallies.items():
        pair = place
        if pair not in _pairs:
            if len(_pairs) >= _SERIES_MAX:
                pair = ("", "other")
            _pairs.add(pair)
        for outcome, number in zip(_OUTCOMES, tally[:3], strict=True):
            if number:
                metrics.usage_requests.labels(*pair, outcome).inc(number)
        for kind, number in zip(_KINDS, tally[3:], strict=True):
            if number:
                metrics.usage_tokens.labels(*pair, kind).inc(number)
