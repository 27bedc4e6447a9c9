"""``GET /v1/models`` and ``GET /v1/models/{id}``: answered from the catalog's snapshot, no framework, no waiting.

Who may see what: the identity headers name the caller, the key's allow-list (``X-MaaS-Models``) and an entry's
groups narrow the listing, and so does the namespace check where it is on. With an ``anthropic-version`` header the
same models come in the shape and the pages of Anthropic's Models API, so either SDK reads them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache

from maas_api import errors
from maas_api.access.caller import Caller
from maas_api.errors import ApiError
from maas_api.identity import headers
from maas_api.identity.headers import Identity
from maas_api.models.calls import Calls
from maas_api.models.encoding import anthropic
from maas_api.models.forms import AS_IT_IS, Body, Form
from maas_api.models.snapshot import View
from maas_api.providers import entry_for
from maas_api.wire import JSON, HeaderLines, Reply, Request, RouteTable

PATH = "/v1/models"
INFO = "/v1/model/info"
"""Where LiteLLM's proxy tells the models' limits; Roo and Cline ask there."""
PROVIDER = "X-MaaS-Provider"
"""Set by a gateway where a provider's own list is asked for: only that provider's models, in its dialect."""

_CACHE = (b"cache-control", b"no-cache, private")
_VARY = (b"vary", b"Authorization, Anthropic-Version, Accept-Encoding")
_ANY = b"*"


class Listing:
    """The routes over what callers may call."""

    def __init__(
        self,
        calls: Calls,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._calls = calls
        self._clock = clock
        self._checked_at = (0, b"")

    def register(self, routes: RouteTable) -> None:
        """Add both routes. Ids contain slashes, so everything below the collection is one prefix."""
        routes.add("GET", PATH, self.collection)
        routes.add("GET", INFO, self.info)
        routes.add_prefix(PATH + "/", self.single)

    def collection(self, request: Request) -> Reply:
        """``GET /v1/models``."""
        try:
            view = self._view(request)
            if _wants_anthropic(request):
                return self._answer(request, view.page(request.target.partition("?")[2]))
        except ApiError as fault:
            return fault.reply()
        return self._answer(request, view.listing)

    def info(self, request: Request) -> Reply:
        """``GET /v1/model/info``: the same models in LiteLLM's shape."""
        try:
            view = self._view(request)
        except ApiError as fault:
            return fault.reply()
        return self._answer(request, view.info())

    def single(self, request: Request) -> Reply:
        """``GET /v1/models/{id}``: the whole rest of the path is the id, slashes included; an alias finds it too."""
        identifier = request.path[len(PATH) + 1 :]
        if request.method == "OPTIONS":
            return Reply(204, (), b"")
        if request.method != "GET":
            return errors.plain(405, "method not allowed", headers=(("Allow", "GET"),)).reply()
        if not identifier:
            return self.collection(request)
        try:
            view = self._view(request)
            row = view.find(identifier) or view.find_alias(identifier)
            if row is None:
                raise _unknown(identifier)
        except ApiError as fault:
            return fault.reply()
        return self._answer(request, Body(anthropic(row.entry) if _wants_anthropic(request) else row.fragment))

    def _view(self, request: Request) -> View:
        """What the caller may see. Raises ApiError: 401 without an identity, 503 before the first sync."""
        who = _identity(request)
        _authorization(request)
        models = _allow_list(request)
        subscription = headers.last_subscription(request.header_values(headers.SUBSCRIPTION.lower().encode()))
        api_key = (request.header(b"authorization") or "").startswith("Bearer sk-oai-")
        return self._calls.view(Caller(who, models, subscription, api_key), _provider(request))

    def _answer(self, request: Request, body: Body) -> Reply:
        forms = body.forms(request.header(b"accept-encoding"))
        held = _held(request)
        for form in forms:  # also one that is not preferred: the client has it already
            if form.etag in held or _ANY in held:
                return Reply(304, self._lines(form), b"")
        for form in forms:
            if packed := body.packed(form.coding):
                coded = ((b"content-encoding", form.coding.encode()),) if form.coding else ()
                return Reply(200, (JSON, *coded, *self._lines(form)), packed)
        return Reply(200, (JSON, *self._lines(Form(AS_IT_IS, body.etag))), body.plain)

    def _lines(self, form: Form) -> HeaderLines:
        return ((b"etag", form.etag), _CACHE, _VARY, (b"x-access-checked-at", self._now()))

    def _now(self) -> bytes:
        now = int(self._clock())
        if self._checked_at[0] != now:
            self._checked_at = (now, datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode())
        return self._checked_at[1]


def _provider(request: Request) -> str:
    """The provider whose list is asked for at its own route, which only a gateway says; "" for everyone's."""
    return request.header(PROVIDER.lower().encode()) or ""


def _wants_anthropic(request: Request) -> bool:
    if provider := _provider(request):
        return entry_for(provider).dialect == "anthropic"
    return request.header(b"anthropic-version") is not None


def _held(request: Request) -> frozenset[bytes]:
    """The states that the client has, from If-None-Match (weak comparison, RFC 9110 section 13.1.2)."""
    tags = (tag.strip() for line in request.header_values(b"if-none-match") for tag in line.split(","))
    return frozenset(tag.removeprefix("W/").encode("latin-1") for tag in tags)


# -- who asks


def _identity(request: Request) -> Identity:
    """The caller. The 401 keeps the fields that clients of the Go service parse beside the shape SDKs read."""
    usernames = request.header_values(headers.USERNAME.lower().encode())
    groups = request.header_values(headers.GROUP.lower().encode())
    try:
        return _parsed(tuple(usernames[:1]), tuple(groups[:1]))
    except ApiError as fault:
        shape = errors.sdk(401, fault.body["error"], code="invalid_identity").body
        kept = {name: fault.body[name] for name in ("exceptionCode", "refId")}
        raise ApiError(401, {**shape, **kept}) from None


@lru_cache(maxsize=4096)
def _parsed(usernames: tuple[str, ...], groups: tuple[str, ...]) -> Identity:
    return headers.parse(usernames, groups)


def _authorization(request: Request) -> None:
    """The Go service wants the header present; what it says was checked by the gateway."""
    value = request.header(b"authorization")
    if value is None:
        raise errors.sdk(401, "Authorization token required")
    if not value.removeprefix("Bearer ").strip() or value.strip() == "Bearer":
        raise errors.sdk(401, "Valid authorization token required")


def _allow_list(request: Request) -> tuple[str, ...] | None:
    """The key's allow-list, None without one. Malformed, it is refused: it must not count as "all"."""
    values = request.header_values(headers.MODELS.lower().encode())
    if not values:
        return None
    found = _patterns(values[0]) if len(values) == 1 else None
    if found is None:
        raise errors.sdk(
            401, f"{headers.MODELS} must be sent once, as a JSON array of model ids", code="invalid_identity"
        )
    return found


@lru_cache(maxsize=4096)
def _patterns(text: str) -> tuple[str, ...] | None:
    try:
        # The header arrived as latin-1; ids beyond ASCII were sent as UTF-8.
        value = json.loads(text.encode("latin-1").decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return tuple(sorted(set(value)))


def _unknown(identifier: str) -> ApiError:
    shown = identifier if len(identifier) <= 256 else identifier[:256] + "..."
    message = f"The model `{shown}` does not exist or you do not have access to it."
    return errors.sdk(404, message, code="model_not_found", param="model")
