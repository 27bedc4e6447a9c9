"""May this caller call this model: the rule of :mod:`maas_api.access`, asked of the catalog for one call.

A call names a model at one of three places: at a provider's route, at the route of a model in the cluster, or at the
gateway's root. The refusals are errors in the shape the SDKs parse. A model that is not the caller's business is
answered like one that does not exist.
"""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable, Sequence
from typing import Protocol

from maas_api import errors
from maas_api.access.allowlist import allows, permits
from maas_api.access.caller import Access, Caller, Limited
from maas_api.access.decision import Closed, closed
from maas_api.errors import ApiError
from maas_api.models.model import ModelEntry
from maas_api.models.snapshot import Snapshot, View

SHOWN = 5
"""How many callable ids a refusal names."""
COMPARED = 200
"""How many ids are compared to an unknown one, however many there are."""


class HoldsSnapshot(Protocol):
    """The catalog, as far as it is needed here."""

    @property
    def complete(self) -> bool: ...
    @property
    def snapshot(self) -> Snapshot: ...


class Calls:
    """Decides calls. Every method raises ApiError: 404 ``model_not_found``, 403 ``model_not_allowed``, what the
    caller's subscription says, and 503 before the catalog was read once."""

    def __init__(self, catalog: HoldsSnapshot, access: Access) -> None:
        self._catalog = catalog
        self._access = access

    def at_provider(self, caller: Caller, provider: str, name: str) -> ModelEntry:
        """The entry that a call for ``name`` at a provider's route runs."""
        return self._decide(caller, self._snapshot(), name, provider)

    def anywhere(self, caller: Caller, name: str) -> ModelEntry:
        """The entry that a call for ``name`` at the gateway's root runs: of several the one that is listed."""
        return self._decide(caller, self._snapshot(), name, "")

    def at_path(self, caller: Caller, path_prefix: str, name: str | None) -> ModelEntry:
        """The entry that a call at the route of a model in the cluster runs. ``name``: what the body names; None where
        nothing runs (a GET), or where the path alone says which.

        The allow-list is held against every name the model goes by there.
        """
        snapshot = self._snapshot()
        names = snapshot.by_prefix.get(path_prefix, frozenset())
        unlimited = self._access.grants(caller._replace(models=None))
        entry = next((item for item in snapshot.served_at(path_prefix) if closed(item, unlimited) is None), None)
        if entry is None:
            raise errors.sdk(
                404,
                f"There is no model at `{path_prefix}`, or you do not have access to it. GET /v1/models lists yours.",
                code="model_not_found",
                param="model",
            )
        if caller.models is None:
            return entry
        if not permits(caller.models, names):
            raise _not_allowed(caller, path_prefix)
        if name is not None and not permits(caller.models, (name,)):
            raise _not_allowed(caller, name)
        return entry

    def limits(self, caller: Caller, entry: ModelEntry) -> Limited:
        """What the caller's subscription allows of a model that they may call."""
        return self._access.limits(caller, entry)

    def several_at(self, path_prefix: str) -> bool:
        """Whether a server in the cluster goes by more than one name, so that its path does not say which runs."""
        return len(self._snapshot().by_prefix.get(path_prefix, ())) > 1

    def view(self, caller: Caller, provider: str = "") -> View:
        """What the caller may call, as it is listed."""
        snapshot = self._snapshot()
        return snapshot.view(self._access.scope(caller, snapshot, provider=provider))

    def unmatched(self, caller: Caller, patterns: Sequence[str]) -> tuple[str, ...]:
        """Those of an allow-list's patterns that match nothing the caller may call. Raises nothing: none, where the
        catalog or the caller's subscriptions cannot say."""
        if not patterns:
            return ()
        try:
            rows = self.view(caller).rows
        except ApiError:
            return ()
        names = {name for row in rows for name in row.entry.names}
        return tuple(one for one in patterns if not permits((one,), names))

    def _snapshot(self) -> Snapshot:
        if not self._catalog.complete:
            raise errors.sdk(
                503,
                "The model catalog is still being read for the first time. Try again in a moment.",
                code="catalog_not_ready",
                headers=(("Retry-After", "1"),),
            )
        return self._catalog.snapshot

    def _decide(self, caller: Caller, snapshot: Snapshot, name: str, provider: str) -> ModelEntry:
        grants = self._access.grants(caller, provider=provider)
        limited = False
        other: ModelEntry | None = None
        for entry in snapshot.named(name):
            why = closed(entry, grants)
            if why is None and not snapshot.lists(entry, grants):
                continue  # another entry of the same id is what this caller sees
            if why is Closed.ALLOW_LIST:
                limited = True
            elif why is None and not entry.answers_to(name):
                other = other or entry
            elif why is None and (entry.provider or allows(caller.models, name)):
                return entry
            elif why is None:
                limited = True  # one name of a server in the cluster is open, this one is not
        if other is not None:
            raise _unknown(f"`{name}` is another name of `{other.called}`, and only that one can be called there.")
        if limited:
            raise _not_allowed(caller, name)
        near = nearest(name, (row.entry.called for row in self.view(caller, provider).rows))
        place = f" at /external/{provider}/" if provider else ""
        hint = f" Callable{place}: {', '.join(near)}." if near else f" You may call no model{place}."
        raise _unknown(f"The model `{_shown(name)}` does not exist or you do not have access to it.{hint}")


def nearest(name: str, ids: Iterable[str]) -> list[str]:
    """The ids most like ``name``, at most SHOWN: those that share the longest beginning, then by their letters."""

    def shared(candidate: str) -> int:
        same = 0
        for ours, theirs in zip(name.lower(), candidate.lower(), strict=False):
            if ours != theirs:
                break
            same += 1
        return same

    name = name[:256]
    chosen = heapq.nlargest(COMPARED, ids, key=shared)
    close = difflib.get_close_matches(name, chosen, SHOWN, 0.3)
    return close or chosen[:SHOWN]


def _unknown(message: str) -> ApiError:
    return errors.sdk(404, message, code="model_not_found", param="model")


def _not_allowed(caller: Caller, what: str) -> ApiError:
    allowed = ", ".join((caller.models or ())[:SHOWN])
    more = ", ..." if len(caller.models or ()) > SHOWN else ""
    message = f"this API key is limited to certain models ({allowed}{more}), not `{_shown(what)}`"
    return errors.sdk(403, message, code="model_not_allowed", param="model")


def _shown(text: str) -> str:
    return text if len(text) <= 256 else text[:256] + "..."
