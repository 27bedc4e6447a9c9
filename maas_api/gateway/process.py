"""The gateway on one machine: writes its configuration and its secrets, starts it, hands it changes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from maas_api.gateway import envoy
from maas_api.gateway.envoy import secrets
from maas_api.gateway.running import Envoy, EnvoyError, envoy_binary

__all__ = ["EnvoyError", "EnvoyProcess", "envoy_binary", "write_atomically"]

_VERSIONED = {envoy.CLUSTERS: "cluster_manager.cds", envoy.ROUTES: "http.maas.rds.maas"}
"""The files Envoy watches -> its statistics about them; clusters first, because a route must find its cluster."""


class EnvoyProcess(Envoy):
    """An Envoy that carries out a plan, and another one while it runs."""

    def put_secret(self, secret: str, value: str) -> None:
        """Write or replace a secret's file, in one step and readable by the owner alone.

        A running Envoy uses the new value from its next request on. Raises ValueError for a value that cannot stand
        in a header.
        """
        folder = self.folder / secrets.FOLDER
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self.folder / secrets.file_name(secret), secrets.render_secret(secret, value), mode=0o600)

    def start(self, plan: envoy.Plan, timeout: float = 20.0) -> None:
        """Start with ``plan`` and wait until every cluster, route and the listener are up.

        Raises EnvoyError when a secret's file is missing, when Envoy refuses its configuration, when it ends, or when
        it is not ready in time.
        """
        self._check_secrets(plan)

        def write(admin_socket: Path) -> Path:
            (self.folder / secrets.FOLDER).mkdir(mode=0o700, exist_ok=True)
            for name, text in envoy.render(plan, self.folder, admin_socket=admin_socket).items():
                write_atomically(self.folder / name, text)
            return self.folder / envoy.BOOTSTRAP

        self.launch(write, timeout)
        try:
            for name in _VERSIONED:
                self._wait_until_taken(name, 0, timeout)
        except BaseException:
            self.stop()
            raise

    def apply(self, plan: envoy.Plan, timeout: float = 10.0) -> None:
        """Give a running Envoy other models and providers; returns when it routes by them.

        The listener and the service behind it stay as they were at the start. Raises EnvoyError when Envoy refuses
        the change or does not take it in time; it then goes on with the state before.
        """
        self._check_secrets(plan)
        files = envoy.render(plan, self.folder)
        for name in _VERSIONED:
            path = self.folder / name
            before = path.read_text(encoding="utf-8")
            if before == files[name]:
                continue
            refused = self._refusals(name)
            write_atomically(path, files[name])
            try:
                self._wait_until_taken(name, refused, timeout)
            except EnvoyError:
                write_atomically(path, before)  # or it would fail again at the next start
                raise

    def _check_secrets(self, plan: envoy.Plan) -> None:
        needed = [secrets.provider_secret(route.provider.name) for route in plan.providers]
        if plan.internal_secret:
            needed.append(secrets.INTERNAL_SECRET)
        for name in needed:
            if not (self.folder / secrets.file_name(name)).is_file():
                raise EnvoyError(f"secret {name!r} has no file yet: put_secret({name!r}, ...) comes first")

    def _wait_until_taken(self, name: str, refused: int, timeout: float) -> None:
        """Wait until Envoy lives by a file; ``refused`` is how often it had refused one before this was written."""
        wanted = envoy.version((self.folder / name).read_text(encoding="utf-8"))
        statistic = f"{_VERSIONED[name]}.version_text"

        def taken() -> bool:
            if self._refusals(name) > refused:
                raise EnvoyError(f"Envoy refused {name}:\n{self.log_tail()}")
            return bool(self.statistics(f"^{statistic}$").get(statistic) == wanted)

        self.wait(f"take {name}", taken, timeout)

    def _refusals(self, name: str) -> int:
        statistic = f"{_VERSIONED[name]}.update_rejected"
        return int(self.statistics(f"^{statistic}$").get(statistic, 0))


def write_atomically(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Replace a file in one step: a reader finds the old text or the new one, never a part.

    The rename is also what Envoy's watches wait for. The mode holds from the first byte on.
    """
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
