"""What came of a key in each place of a route's request."""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from maas_api.demo.simulators.server import KEPT, Received
from maas_api.observability.logs import JsonFormatter
from maas_api.observability.redaction import REDACTOR
from tests.matrix.world import World
from tests.secrecy.places import basic, places, send
from tests.secrecy.routes import Route

BEFORE_ALL = " path_normalization_failed "
"""In a mesh's own log: a path that Envoy refuses before any filter, as one with a ``#``. It is logged as it was sent,
and nothing rendered for a gateway can change that (docs/threat-model.md)."""
GROUPS = ("credentials", "headers", "path", "query", "body")


class Row(NamedTuple):
    """Of one route: for each group of places the answers, how many requests reached a model, and where a key did."""

    gateway: str
    route: str
    key: str
    statuses: dict[str, Counter[int]]
    arrived: dict[str, int]
    leaks: list[str]

    @property
    def asked(self) -> int:
        """Requests in all."""
        return sum(sum(counter.values()) for counter in self.statuses.values())


def row(world: World, gateway: str, route: Route) -> Row:
    """Ask with a fresh key in every place, one after another, and look at all that models' servers received."""
    key = _minted(world)
    port = world.gateways[gateway].base_url.port or 80
    statuses: dict[str, Counter[int]] = defaultdict(Counter)
    arrived: Counter[str] = Counter()
    leaks = []
    lines = (("host", "gateway"), ("content-type", "application/json"), ("authorization", f"Bearer {key}"))
    base = route.draft.with_headers(*lines)
    for place in places(shut=route.shut):
        before = {name: len(simulator.received) for name, simulator in world.simulators.items()}
        assert max(before.values()) < KEPT, "a simulator forgets what it received"
        statuses[place.group][send(port, place.put(base, key))] += 1
        for name, simulator in world.simulators.items():
            for request in list(simulator.received)[before[name] :]:
                arrived[place.group] += 1
                if shows(request, key):
                    leaks.append(f"{name} received it: {place.group}, {place.name}")
    return Row(gateway, str(route), key, statuses, arrived, leaks)


def shows(request: Received, key: str) -> bool:
    """Whether a request shows a key: in capitals, escaped as in a path or in JSON, in base64, UTF-16 or packed too."""
    bodies = [request.body]
    with suppress(zlib.error):
        bodies.append(zlib.decompress(request.body, wbits=47))
    texts = [request._replace(body=body.replace(b"\0", b"")).text() for body in bodies]
    return any(secret(key) in _unescaped(text).lower() or basic(key) in text for text in texts)


def _unescaped(text: str) -> str:
    """The text, and after it the same with escaped characters as they are: of a path, of JSON, of JSON within it."""
    plain = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), text)
    with suppress(ValueError):
        plain += json.dumps(json.loads(text.partition("\n\n")[2]), ensure_ascii=False)
    return text + unquote(unquote(plain))


def secret(key: str) -> str:
    """The part of a key that nobody may see, as it is searched for in text in lower case."""
    return key.rpartition("_")[2].lower()


def in_logs(folder: Path, keys: dict[str, str]) -> Iterator[str]:
    """The lines of any log below ``folder`` that show a key of ``keys``: whose, which file, and how each begins."""
    wanted = {secret(key): name for key, name in keys.items()}
    shape = re.compile("|".join(map(re.escape, wanted)))
    for file in sorted((*folder.rglob("*.log"), *folder.rglob("*.log.*"))):
        for line in file.read_text(errors="replace").splitlines():
            found = shape.search(_unescaped(line).lower())
            if found and BEFORE_ALL not in line:
                yield f"{wanted[found[0]]}: {file.relative_to(folder)}: {line[:60]}"


@contextmanager
def service_log(file: Path) -> Iterator[None]:
    """Everything that the service in this process says, as it would say it, into a file."""
    with file.open("a") as out:
        handler = logging.StreamHandler(out)
        handler.setFormatter(JsonFormatter(REDACTOR))
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.INFO)
        try:
            yield
        finally:
            root.removeHandler(handler)
            root.setLevel(level)


def _minted(world: World) -> str:
    body = {"name": "table"}
    answer = world.gateways["native"].post("/v1/api-keys", json=body, headers=world.credentials["token"])
    assert answer.status_code == 201, answer.text
    key: str = answer.json()["key"]
    return key
