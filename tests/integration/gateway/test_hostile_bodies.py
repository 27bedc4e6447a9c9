"""What the gateway's filter reads in a body, the authorizer judges and the server runs is one model, or nothing runs.

As a table: ``pytest tests/integration/gateway/test_hostile_bodies.py -s -p no:xdist``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import itertools
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import pytest

from maas_api.access import named
from maas_api.app import build
from maas_api.config import load
from maas_api.demo.simulators.server import Answer, Reaction, Received, Simulator, Whole
from maas_api.gateway import authorizer, envoy
from maas_api.gateway.judgement import Judgement
from maas_api.gateway.process import EnvoyProcess
from maas_api.wire import Request, RouteTable
from tests.integration.gateway.conftest import Keys, Tokens
from tests.support import raw
from tests.support.body_readers import READERS, Reader
from tests.support.callables import calls, local
from tests.support.hostile_bodies import CASES, FORGED, Case, Fate, written
from tests.support.serving import serving

SECRET = "secret/model"
MODELS = {language: f"reader/{language}" for language in READERS}
"""One model a language: its server reads bodies as that language's do."""


def reading(reader: Reader) -> Answer:
    """A server that runs what its parser finds, and says what that is."""

    def respond(request: Received) -> Reaction:
        try:
            return Whole(200, {"model": reader(request.body)})
        except ValueError as fault:
            return Whole(422, {"error": {"message": str(fault)}})

    return respond


class Outcome(NamedTuple):
    """What became of one request: the answer's status, what the filter told (None: nobody was asked), the servers that
    saw it, and the model that one of them ran ("" for none)."""

    status: int
    told: named.Named | None
    reached: tuple[str, ...]
    ran: str


@dataclasses.dataclass
class Gateway:
    """An Envoy before three servers and a secret one, and what they saw."""

    url: str
    key: str
    questions: list[Request]
    servers: dict[str, Simulator]
    seen: list[tuple[Case, str, Outcome]]

    def send(self, case: Case, language: str, *, forged: bool) -> Outcome:
        """Send the case to the language's model."""
        before = {name: len(server.received) for name, server in self.servers.items()}
        self.questions.clear()
        headers = (f"Authorization: Bearer {self.key}", *(FORGED if forged else ()))
        data = written(case, ok=MODELS[language], no=SECRET, headers=headers)
        status, body = exchange(self.url, data)
        reached = tuple(name for name, server in self.servers.items() if len(server.received) > before[name])
        told = named.read(self.questions[-1].first_values()) if self.questions else None
        return Outcome(status, told, reached, str(json.loads(body)["model"]) if status == 200 else "")


def exchange(url: str, data: bytes) -> tuple[int, bytes]:
    """Send bytes; the first answer's status and body. Raises http.client.HTTPException or OSError without one."""
    with raw.connect(url, seconds=20) as sock:
        with contextlib.suppress(OSError):  # refused before everything was sent
            sock.sendall(data)
        with http.client.HTTPResponse(sock, method="POST") as response:
            response.begin()
            return response.status, response.read()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("hostile")
    with ExitStack() as stack:
        servers = {
            language: stack.enter_context(Simulator(language, reading(reader))) for language, reader in READERS.items()
        }
        servers["secret"] = stack.enter_context(Simulator("secret", lambda _: Whole(200, {"model": SECRET})))
        known, questions = Keys(), list[Request]()
        key = known.mint(models=tuple(MODELS.values()))
        registered = calls(*(local(name, language) for language, name in MODELS.items()), local(SECRET, "secret"))
        asked = authorizer.Authorizer(known, Tokens(), Judgement(registered))

        def ask(request: Request) -> object:
            questions.append(request)
            return asked.route(request)

        fast = RouteTable()
        fast.add_prefix(authorizer.PREFIX, ask)  # type: ignore[arg-type]  # the authorizer's answer
        service = build(load({"kubernetes": "off", "sqlite_path": str(folder / "maas.db")}, {}))
        base = stack.enter_context(serving(dataclasses.replace(service, fast=fast, background=())))
        plan = envoy.Plan(
            listen=envoy.Address("127.0.0.1", 0),
            maas_api=envoy.Upstream.from_url(base),
            models=tuple(
                envoy.LocalRoute(
                    path_prefix=f"/llm/{name}/", upstream=envoy.Upstream.from_url(server.url), several_names=True
                )
                for name, server in servers.items()
            ),
        )
        process = stack.enter_context(EnvoyProcess(folder / "envoy"))
        process.start(plan)
        url = f"http://127.0.0.1:{process.address.port}"
        standing = Gateway(url, key, questions, servers, [])
        yield standing
        _print(standing.seen)


@pytest.mark.parametrize("case", CASES, ids=[f"{case.group}: {case.name}" for case in CASES])
def test_one_model_is_read_judged_and_run_or_none(gateway: Gateway, case: Case) -> None:
    for language, forged in itertools.product(READERS, (False, True)):
        outcome = gateway.send(case, language, forged=forged)
        gateway.seen.append((case, f"{language}, forged" if forged else language, outcome))
        held(case, language, outcome)


def held(case: Case, language: str, outcome: Outcome) -> None:
    """Whether it became of the request what must."""
    model = MODELS[language]
    if case.fate is Fate.REFUSED:
        assert outcome.status in {400, 403, 404, 405, 413, 415, 431, 501}, outcome
        assert outcome.reached == (), outcome
        return
    assert outcome.told is not None, outcome
    assert (outcome.told.model, outcome.told.doubt, outcome.reached) == (model, "", (language,)), outcome
    if case.fate is Fate.RUNS:
        assert (outcome.status, outcome.ran) == (200, model), outcome
    else:
        assert (outcome.status, outcome.ran) in {(200, model), (422, "")}, outcome


def test_there_are_enough_cases_of_each_kind() -> None:
    assert len({(case.group, case.name) for case in CASES}) == len(CASES) >= 100
    assert {fate: sum(case.fate is fate for case in CASES) >= 10 for fate in Fate} == dict.fromkeys(Fate, True)


def _print(seen: list[tuple[Case, str, Outcome]]) -> None:
    """The table: a line a case, what the filter told, the statuses of all its requests, and who ran what."""
    lines = ["", "", f"{'what':<16} {'case':<48} {'must':<9} {'filter':<20} {'statuses':<16} ran by"]
    for case, found in itertools.groupby(seen, key=lambda item: item[0]):
        outcomes = [outcome for _, _, outcome in found]
        statuses = "/".join(sorted({str(outcome.status) for outcome in outcomes}))
        ran = sorted({outcome.ran.removeprefix("reader/") for outcome in outcomes if outcome.ran})
        told = "/".join(sorted({_told(outcome.told) for outcome in outcomes}))
        line = f"{case.group:<16} {case.name:<48} {case.fate.value:<9} {told:<20} {statuses:<16}"
        lines.append(f"{line} {', '.join(ran) or '-'}")
    lines += ["", f"{len({case for case, _, _ in seen})} cases, {len(seen)} requests, half of them with forged headers"]
    sys.stdout.write("\n".join(lines) + "\n")  # shown with -s


def _told(told: named.Named | None) -> str:
    if told is None:
        return "not asked"
    if told.doubt:
        return f"doubt: {told.doubt}"
    more = " and more" if told.nested or told.tools else ""
    return ("the model" if told.model in MODELS.values() else "another" if told.model else "no name") + more
