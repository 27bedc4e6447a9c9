"""Which paths at a gateway are maas-api's own."""

from __future__ import annotations

from maas_api.providers import PATH_ROOT, entry_for

API_PATHS = ("/v1/models", "/v1/api-keys", "/v1/key", "/v1/subscriptions", "/v1/model", "/v1/usage")
"""What clients reach of maas-api at the root, each with everything below it. ``/internal`` is not among them."""
PREFIXED_API = "/maas-api/v1/"
"""The same by the platform's own prefix."""

_BELOW = ("/maas-api/", *(f"{root}/" for root in API_PATHS))


def is_api(path: str) -> bool:
    """Whether a path leads to maas-api's own endpoints, not to a model."""
    return path.startswith(_BELOW) or path in API_PATHS


def listed_provider(method: str, path: str) -> str:
    """The provider whose model list a request asks for, which maas-api answers in its place; "" for any other."""
    if method not in ("GET", "HEAD") or not path.startswith(PATH_ROOT):
        return ""
    name, _, rest = path.removeprefix(PATH_ROOT).partition("/")
    listing = f"{entry_for(name).v1}models"
    return name if rest == listing or rest.startswith(f"{listing}/") else ""
