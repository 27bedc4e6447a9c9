"""schemathesis, driven by openapi.yaml, against the real service: as strangers, and as a user with a key of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.support.process import ROOT, USER, Running, running

CONFIG = Path(__file__).parent / "schemathesis.toml"
CALLERS = ("strangers", "a user")


class Report(NamedTuple):
    """One run: how many cases were sent, whether all passed, and schemathesis' own account."""

    cases: int
    passed: bool
    text: str


def campaign(folder: Path, cases: int, examples: int = 100, first_seed: int = 1) -> Iterator[tuple[str, Report]]:
    """Runs until ``cases`` have been sent, callers taking turns; ``examples`` per operation and phase in each run."""
    sent, seed = 0, first_seed
    with running(folder, "--workers", "2") as service:
        while sent < cases:
            caller = CALLERS[(seed - first_seed) % len(CALLERS)]
            report = once(service, folder, caller, examples, seed)
            sent, seed = sent + report.cases, seed + 1
            yield f"{caller}, seed {seed - 1}", report
            if not report.passed or not report.cases:
                return


def once(service: Running, folder: Path, caller: str, examples: int, seed: int, phases: str = "all phases") -> Report:
    """One run against a running service, of every phase or of those named (separated by commas)."""
    config = folder / f"schemathesis-{seed}.toml"
    config.write_text(CONFIG.read_text() + (_parameters(service) if caller == "a user" else ""))
    identity = {**USER, "Authorization": "Bearer opaque"} if caller == "a user" else {}
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config),
        "run", str(ROOT / "openapi.yaml"), "--url", service.url,
        "--max-examples", str(examples), "--seed", str(seed),
        "--suppress-health-check", "all", "--no-color",
        *(() if phases == "all phases" else ("--phases", phases)),
        *(part for name, value in identity.items() for part in ("--header", f"{name}: {value}")),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    found = re.search(r"(\d[\d,]*) generated", text)
    cases = int(found[1].replace(",", "")) if found else 0
    return Report(cases, done.returncode == 0 and cases > 0 and service.process.poll() is None, text)


def _parameters(service: Running) -> str:
    """Ids that exist, so that the fuzzing gets behind the first 404."""
    key_id = httpx.post(service.url + "/v1/api-keys", json={"name": "fuzz"}, headers=USER).json()["id"]
    model = "facebook/opt-125m"
    ids = {"getApiKey": key_id, "rotateApiKey": key_id, "getModel": model, "listSubscriptionsOfModel": model}
    return "".join(
        f'\n[[operations]]\ninclude-operation-id = "{operation}"\nparameters = {{ "path.id" = "{value}" }}\n'
        for operation, value in ids.items()
    )
