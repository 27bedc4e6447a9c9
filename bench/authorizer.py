"""The authorizer: what one question costs, whatever the size of the catalog. In process, apart from the socket."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from bench.machine import table
from maas_api.access.caller import Access
from maas_api.gateway.authorizer import PREFIX, Authorizer
from maas_api.gateway.judgement import Judgement
from maas_api.identity.headers import Identity
from maas_api.models.calls import Calls
from maas_api.models.model import EXTERNAL, LocalModel, Mapped, ModelEntry
from maas_api.models.shelf import Place, Shelf
from maas_api.models.snapshot import Snapshot
from maas_api.validation.verdict import Verdict, accepted
from maas_api.wire import Reply, Request

SIZES = (10, 5_000)


def run(*, quick: bool) -> None:
    """Measure and print: the sides take turns in one run, and the median of their rounds counts."""
    rounds, seconds = (3, 0.05) if quick else (15, 0.2)
    sides = {(place, size): side(size, place) for size in SIZES for place in QUESTIONS}
    found: dict[tuple[str, int], list[float]] = {key: [] for key in sides}
    for _ in range(rounds):
        for key, ask in sides.items():
            found[key].append(_cost(ask, seconds))
    print("\nQuestions of the gateway, in process: CPU of one in microseconds\n")
    rows = []
    for place in QUESTIONS:
        few, many = (statistics.median(found[place, size]) for size in SIZES)
        rows.append((place, f"{few * 1e6:.1f}", f"{many * 1e6:.1f}", f"{few / many:.2f}"))
    table(("call", *(f"{size:,} models" for size in SIZES), "rate at many / at few"), rows)


QUESTIONS = {
    "a provider's model": ("/external/openai/v1/chat/completions", "m5"),
    "at the root": ("/v1/chat/completions", "m5"),
    "in the cluster": ("/llm/n4/v1/chat/completions", ""),
}
"""Path, and the model that the gateway's filter read."""


def side(size: int, place: str) -> Callable[[], object]:
    """One question to an authorizer over ``size`` models, half of them a provider's."""
    path, model = QUESTIONS[place]
    key = "sk-oai-" + "abcdefghijkl_mnopqrstuvwxyz"
    authorizer = Authorizer(_Known(), _NoTokens(), Judgement(Calls(_Held(_snapshot(size)), Access())))
    headers = [(b"host", b"gateway"), (b"authorization", f"Bearer {key}".encode()), (b"content-length", b"0")]
    if model:
        headers.append((b"x-gateway-model-name", model.encode()))
    request = Request("POST", PREFIX + path, PREFIX + path, headers, b"")
    answer = authorizer.route(request)
    assert isinstance(answer, Reply)
    assert answer.status == 200, answer
    return lambda: authorizer.route(request)


def _cost(ask: Callable[[], object], seconds: float) -> float:
    """CPU seconds of one call."""
    count, began, until = 0, time.process_time(), time.perf_counter() + seconds
    while time.perf_counter() < until:
        for _ in range(50):
            ask()
        count += 50
    return (time.process_time() - began) / count


def _snapshot(size: int) -> Snapshot:
    shelf = Shelf()
    for number in range(size):
        shelf.put(Place(0, ("n", str(number))), Mapped((_entry(number),)))
    return shelf.snapshot(1)


def _entry(number: int) -> ModelEntry:
    local = None if number % 2 else LocalModel(f"n{number}", "llm", f"/llm/n{number}/", "http://model:8000")
    return ModelEntry(
        id=f"m{number}",
        created=1,
        owned_by="bench",
        ready=True,
        source=EXTERNAL if number % 2 else "llminferenceservices",
        origin=f"llm/n{number}",
        provider="openai" if number % 2 else "",
        namespace="" if number % 2 else "llm",
        local=local,
    )


class _Held:
    """A catalog that does not change."""

    complete = True

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot


class _Known:
    """One key's verdict, as it lies in the cache."""

    deadline = 0.1

    def __init__(self) -> None:
        self._verdict = accepted(
            key_id="id",
            key_name="bench",
            username="bench",
            groups=tuple(f"group-{number}" for number in range(10)),
            subscription="gold",
            tenant="t",
            models=None,
            expires_at=None,
        )

    def check(self, _raw_key: str) -> Verdict:
        """The verdict."""
        return self._verdict


class _NoTokens:
    """No platform token is known."""

    def lookup(self, _token: str) -> Identity | None:
        """None."""
        return None
