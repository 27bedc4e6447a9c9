"""What an operator opens of a provider beside its models: batches, files, and the like. Pure.

Behind such a path lies the operator's whole account: what one caller stores there, another can read and delete. So
nothing is open that is not named here, and a key limited to certain models reaches none of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_RULE = re.compile(
    r"(?P<provider>[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?):(?P<method>[A-Z]{3,7}) (?P<path>/[A-Za-z0-9._~/-]*\*?)"
)


class OpenedPath(NamedTuple):
    """One rule: a method and a path at a provider (``/v1/files``); a path that ends in ``*`` opens all below it."""

    provider: str
    method: str
    path: str

    def admits(self, method: str, path: str) -> bool:
        """Whether a request (its path relative to the provider's route, with a leading slash) falls under it."""
        if method != self.method:
            return False
        return path.startswith(self.path[:-1]) if self.path.endswith("*") else path == self.path

    def __str__(self) -> str:
        return f"{self.provider}:{self.method} {self.path}"


def parse(rules: Iterable[str]) -> tuple[OpenedPath, ...]:
    """Rules such as ``openai:GET /v1/files*``. Raises ValueError naming the rule and the form."""
    found: list[OpenedPath] = []
    for rule in rules:
        matched = _RULE.fullmatch(rule)
        if matched is None or "//" in rule or "/." in rule:
            raise ValueError(
                f"{rule!r} must be <provider>:<METHOD> /<path>, '*' only at the end: openai:GET /v1/files*"
            )
        found.append(OpenedPath(matched["provider"], matched["method"], matched["path"]))
    return tuple(found)
