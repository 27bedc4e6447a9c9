"""What the catalog holds: a model's entry, and what was found wrong or left out on the way."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

from maas_api.models.price import Price

EXTERNAL = "registry"
"""The source name of the registry's entries: models of outside providers."""

REFERENCES = "maasmodelrefs"
"""The source name of MaaSModelRefs: models that subscriptions open."""


class Details(NamedTuple):
    """What describes a model: ``modelDetails`` on the wire, and its numbers of tokens, as ``128000`` or ``128k``. Empty
    fields are left out."""

    genai_use_case: str = ""
    description: str = ""
    display_name: str = ""
    context_window: str = ""
    capabilities: tuple[str, ...] = ()
    max_input_tokens: str = ""
    max_output_tokens: str = ""


NO_DETAILS = Details()


class LocalModel(NamedTuple):
    """What a gateway needs to route to a model in the cluster.

    ``path_prefix`` is what clients call, ``/<namespace>/<name>/`` as KServe's own route has it. ``address`` is the
    in-cluster base URL that takes the prefix's place (its path included), or "" where the status names none.
    """

    name: str
    namespace: str
    path_prefix: str
    address: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One model in the listing.

    ``created`` is in unix seconds. ``groups``: who may see it; empty for everyone. ``namespace``: whose access
    check applies; "" for none. ``unready`` says why ``ready`` is false, for operators. ``source`` and ``origin``
    say where the entry comes from: the kind's plural or ``registry``, and the object's ``namespace/name``. ``target``
    is what an outside provider calls the model, "" where that is its id. ``prices``: what its tokens cost, empty where
    nobody said.
    """

    id: str
    created: int
    owned_by: str
    ready: bool
    source: str
    origin: str
    url: str = ""
    details: Details = NO_DETAILS
    aliases: tuple[str, ...] = ()
    kind: str = ""
    groups: frozenset[str] = frozenset()
    namespace: str = ""
    provider: str = ""
    unready: str = ""
    local: LocalModel | None = None
    target: str = ""
    prices: tuple[Price, ...] = ()

    @property
    def external(self) -> bool:
        """Whether the model is an outside provider's."""
        return self.source == EXTERNAL

    @property
    def reference(self) -> str:
        """The MaaSModelRef it comes from, as ``namespace/name``; "" for another source."""
        return self.origin if self.source == REFERENCES else ""

    @property
    def path_prefix(self) -> str:
        """The route of a model in the cluster, ``/<namespace>/<name>/``; "" without one."""
        return self.local.path_prefix if self.local is not None else ""

    @property
    def called(self) -> str:
        """What a call must name. Nothing on the way rewrites a body, so at a provider it is the provider's own name."""
        return self.target or self.id

    @property
    def other_names(self) -> tuple[str, ...]:
        """Names it is found by beside its id."""
        return (*self.aliases, self.target) if self.target else self.aliases

    @property
    def names(self) -> tuple[str, ...]:
        """Names by which an allow-list opens it: a server in the cluster knows its aliases, a provider does not."""
        return (self.id, self.called) if self.provider else (self.id, *self.aliases)

    def answers_to(self, name: str) -> bool:
        """Whether the model's server knows it by ``name``."""
        return name == self.called or (not self.provider and (name == self.id or name in self.aliases))


class Problem(NamedTuple):
    """Something an operator should mend. The entry or object it names is not listed; everything else is.

    ``where`` is ``file:line`` or the object; ``entry`` names one item of a list; ``field``, ``rule`` and
    ``received`` say what is wrong.
    """

    where: str
    entry: str
    field: str
    rule: str
    received: str = ""

    def __str__(self) -> str:
        parts = [part for part in (self.where, self.entry, self.field) if part]
        got = f", got {self.received}" if self.received else ""
        return ": ".join([*parts, self.rule]) + got


class Omission(NamedTuple):
    """An object that is fine but is not listed, and why."""

    source: str
    origin: str
    reason: str


class Mapped(NamedTuple):
    """What one object becomes."""

    entries: tuple[ModelEntry, ...] = ()
    problems: tuple[Problem, ...] = ()
    omissions: tuple[Omission, ...] = ()
