"""Where secrets are, and where they must not be: searched for after everything else has happened."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from maas_api.demo import secrecy
from maas_api.demo.checks.session import Session, everything_received, require
from maas_api.demo.stack import PROVIDER_HOSTS, Stack
from maas_api.providers import entry_for


def provider_keys(session: Session) -> str:
    """Each provider got its own key, and these keys are nowhere else: not in answers, files, logs, processes."""
    stack = session.stack
    for name, simulator in stack.simulators.items():
        for request in list(simulator.received):
            foreign = [key for owner, key in stack.keys.items() if owner != name and key in request.text()]
            require(not foreign, f"{name} received another provider's key")
        if name in stack.keys:
            _require_provider_saw_its_key(stack, name)
    keys = list(stack.keys.values())
    control = secrecy.in_files(keys, stack.envoy.folder / "secrets")
    require(len(control.places) == len(keys), "the search does not even find the keys where they lie")
    answers = secrecy.in_texts(keys, {f"answer {n}": text for n, text in enumerate(stack.client.transcript, 1)})
    dump = secrecy.in_texts(keys, {"Envoy's config dump": stack.envoy.config_dump()})
    files = secrecy.in_files(keys, stack.folder, except_in=stack.secret_folders)
    processes = secrecy.in_processes(keys, os.getpid())
    found = [*answers.places, *dump.places, *files.places, *processes.places]
    require(not found, f"a provider key is in: {', '.join(found)}")
    _require_private(stack.secret_folders)
    require(processes.looked_at > 0 or not Path("/proc").is_dir(), "no process was looked at")
    return (
        f"not in {answers.looked_at} answers, {files.looked_at} files (configuration, logs, database), "
        f"Envoy's config dump, {processes.looked_at} processes"
    )


def maas_keys(session: Session) -> str:
    """No provider and no model server ever sees a MaaS key or a platform token; at rest there are only hashes."""
    stack = session.stack
    wanted = [*session.keys, stack.user.token]
    received = everything_received(stack)
    for name, request in received:
        require(not any(secret in request.text() for secret in wanted), f"{name} received one")
        require(request.header("cookie") is None, f"{name} received a cookie")
    files = secrecy.in_files(session.keys, stack.folder)
    require(not files.places, f"a MaaS key is in: {', '.join(files.places)}")
    observed = ", ".join(stack.simulators)  # what a real provider received only the provider knows
    return f"not in {len(received)} requests received by {observed}; not in {files.looked_at} files"


def _require_provider_saw_its_key(stack: Stack, name: str) -> None:
    received = list(stack.simulators[name].received)
    require(bool(received), f"{name} received nothing")
    for request in received:
        header, value = _credential(name, request.path, stack.keys[name])
        require(request.header(header) == value, f"{name} received requests without its key")
    host = PROVIDER_HOSTS[name]
    seen = {(request.header("host"), request.sni) for request in received}
    require(seen == {(host, host)}, f"{name} was addressed as {sorted(map(str, seen))}, not as {host}")


def _credential(name: str, path: str, key: str) -> tuple[str, str]:
    """The header in which a provider wants its key on a path, and what stands there."""
    entry = entry_for(name)
    if path.lstrip("/") in entry.bearer_paths:
        return "authorization", f"Bearer {key}"
    return entry.credential_header, f"{entry.credential_prefix}{key}"


def _require_private(folders: Sequence[Path]) -> None:
    for folder in folders:
        for file in folder.rglob("*"):
            mode = file.stat().st_mode & 0o777
            require(not file.is_file() or mode == 0o600, f"{file.name} in {folder.name} has mode {mode:o}, not 600")
