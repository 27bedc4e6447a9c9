"""A provider of one's own in the demo: ``--provider mistral=https://api.mistral.ai,model=mistral-small-latest``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from maas_api.gateway.envoy import PlanError, ProviderRoute, Upstream
from maas_api.models.sources.entry_schema import MAX_ID
from maas_api.providers import UnknownProvider, provider

FORM = "NAME=https://host[:port][/path][,ca=FILE][,model=ID ...]"


class OwnProvider(NamedTuple):
    """Where a provider is reached, who vouches for it (None: the system's CAs), and models to register."""

    name: str
    url: str
    ca_file: Path | None = None
    models: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable of its key, as SDKs name theirs."""
        return f"{self.name.upper().replace('-', '_')}_API_KEY"

    def route(self, system_ca: Path) -> ProviderRoute:
        """Its route at the gateway. Raises PlanError or UnknownProvider."""
        upstream = Upstream.from_url(self.url, ca_file=self.ca_file or system_ca)
        return ProviderRoute(provider=provider(self.name, host=upstream.host, port=upstream.port), upstream=upstream)

    def registered(self) -> str:
        """Its models as lines of the registry's list, for the packaged ConfigMap."""
        entry = "    - id: {}\n      provider: {}\n"
        return "".join(entry.format(json.dumps(model), self.name) for model in self.models)


def own_provider(text: str) -> OwnProvider:
    """Read one ``--provider``. Raises ValueError with what is wrong and what is accepted."""
    name, equals, rest = text.partition("=")
    url, *options = rest.split(",")
    if not (name and equals and url):
        raise ValueError(f"must be {FORM}, got {text!r}")
    if not url.startswith("https://"):
        raise ValueError(f"{name}: the URL must begin with https://, because a key is sent there, got {url!r}")
    ca_file: Path | None = None
    models: list[str] = []
    for option in options:
        key, _, value = option.partition("=")
        if key == "ca" and value:
            ca_file = Path(value).absolute()
            if not ca_file.is_file():
                raise ValueError(f"{name}: ca: there is no file {value}")
        elif key == "model" and value.strip() == value and value.isprintable() and 0 < len(value) <= MAX_ID:
            models.append(value)
        else:
            raise ValueError(f"{name}: {option!r} is neither ca=FILE nor model=ID; accepted: {FORM}")
    found = OwnProvider(name, url, ca_file, tuple(models))
    try:
        found.route(Path("any.pem"))
    except (PlanError, UnknownProvider) as fault:
        raise ValueError(str(fault)) from None
    return found


def its_key(own: OwnProvider, environment: Mapping[str, str]) -> str:
    """The provider's key. Raises ValueError that names the variable where there is none."""
    key = environment.get(own.variable, "").strip()
    if not key:
        raise ValueError(f"{own.name}: needs its key in the environment variable {own.variable}")
    return key
