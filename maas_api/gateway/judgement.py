"""Which call a request is, and whether the caller may make it. Everything that is not a known call is refused.

========================  ==================================================================================
path at the gateway       what is open
========================  ==================================================================================
``/v1/<endpoint>``        POST; the body's model decides where it goes (:data:`maas_api.providers.ENDPOINTS`)
``/external/<provider>/`` POST on the paths of the provider's table, for a registered model open to the caller;
                          GET on its model list, which maas-api answers; what an operator opened by name
``/<namespace>/<name>/``  a model in the cluster that is open to the caller
========================  ==================================================================================
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NamedTuple

from maas_api import errors
from maas_api.access.caller import UNLIMITED, Caller, Limited
from maas_api.access.named import Named, required
from maas_api.access.opened import OpenedPath
from maas_api.errors import ApiError
from maas_api.models.calls import Calls
from maas_api.models.model import ModelEntry
from maas_api.providers import ENDPOINTS, PATH_ROOT, Provider, entry_for

ROOT = "/v1/"
_TELLING = ("GET", "HEAD")
"""Methods by which model servers tell about themselves; they run a model on POST alone."""


class Call(NamedTuple):
    """A request as the gateway asks about it: its path percent-decoded and normalized, without the query."""

    method: str
    path: str
    named: Named


class Passed(NamedTuple):
    """A call that may be made. ``route``: where the gateway sends one at its root, "" for others. ``model``: the id it
    runs, ``provider``: whose it is; "" where the call runs none. ``limited``: what its subscription allows of it."""

    route: str = ""
    model: str = ""
    provider: str = ""
    limited: Limited = UNLIMITED


class Judgement:
    """Judges calls by the catalog. ``opened``: what an operator opens beside models."""

    def __init__(self, calls: Calls, opened: Sequence[OpenedPath] = ()) -> None:
        self._calls = calls
        self._opened = tuple(opened)

    def judge(self, call: Call, caller: Caller) -> Passed:
        """Where the call goes. Raises ApiError for everything that may not be called."""
        if call.path.startswith(ROOT):
            return self._at_root(call, caller)
        if call.path.startswith(PATH_ROOT):
            return self._at_provider(call, caller)
        return self._in_cluster(call, caller)

    def judge_model(self, provider: str, named: Named, caller: Caller) -> Passed:
        """The same of a call whose path is not told: by the one model that it runs at a provider's route, or at the
        gateway's root ("")."""
        name = required(named).model
        entry = self._calls.at_provider(caller, provider, name) if provider else self._calls.anywhere(caller, name)
        self._judge_others(named, caller, provider or entry.provider)
        return Passed(_route(entry), entry.called, entry.provider)

    def _at_root(self, call: Call, caller: Caller) -> Passed:
        endpoint = call.path[len(ROOT) :]
        if endpoint not in ENDPOINTS:
            raise _no_endpoint(call.path)
        if call.method != "POST":
            raise errors.sdk(
                405,
                f"{call.path} takes POST, not {call.method}",
                kind="invalid_request_error",
                code="method_not_allowed",
                headers=(("Allow", "POST"),),
            )
        entry = self._calls.anywhere(caller, required(call.named).model)
        self._judge_others(call.named, caller, entry.provider)
        route = _route(entry)
        if not route:
            raise errors.sdk(
                503,
                f"The model `{entry.called}` has no route at this gateway: {entry.unready or 'it has no address yet'}",
                code="model_not_routed",
            )
        spoken = entry_for(entry.provider).endpoints if entry.provider else ENDPOINTS
        if endpoint not in spoken:
            raise errors.sdk(
                400,
                f"The model `{entry.called}` does not speak {call.path}. Use "
                + ", ".join(f"{ROOT}{name}" for name in spoken),
                code="endpoint_not_supported",
                param="model",
            )
        return Passed(route, entry.called, entry.provider, self._calls.limits(caller, entry))

    def _at_provider(self, call: Call, caller: Caller) -> Passed:
        name, _, rest = call.path.removeprefix(PATH_ROOT).partition("/")
        provider = entry_for(name)
        in_path = provider.model_at(rest)
        if in_path is not None and call.method == "POST":
            entry = self._calls.at_provider(caller, name, in_path or required(call.named).model)
            if in_path:
                self._agree(call, caller, name)
            self._judge_others(call.named, caller, name)
            return Passed("", entry.called, name, self._calls.limits(caller, entry))
        if any(rule.provider == name and rule.admits(call.method, f"/{rest}") for rule in self._opened):
            if caller.models is not None:
                raise _closed(provider, "API keys limited to certain models", call)
            return Passed("", "", name)
        raise _closed(provider, "callers", call)

    def _in_cluster(self, call: Call, caller: Caller) -> Passed:
        parts = call.path.split("/", 3)
        prefix = f"/{parts[1]}/{parts[2]}/" if len(parts) == 4 else call.path
        name = None
        if call.method not in _TELLING and self._calls.several_at(prefix):  # one server, several models (LoRA adapters)
            name = call.named.model if caller.models is None else required(call.named).model
        entry = self._calls.at_path(caller, prefix, name)
        if call.method in _TELLING:
            return Passed()
        return Passed("", name or entry.id, limited=self._calls.limits(caller, entry))

    def _agree(self, call: Call, caller: Caller, provider: str) -> None:
        """Where the path names the model the body need not; a server may look at the body's all the same."""
        if call.named.model:
            self._calls.at_provider(caller, provider, call.named.model)
        elif call.named.doubt not in ("", "no-model", "no-body"):
            required(call.named)

    def _judge_others(self, named: Named, caller: Caller, provider: str) -> None:
        """Further models in the body count like the first; a tool that may run one is not for a limited key."""
        for name in named.nested:
            if provider:
                self._calls.at_provider(caller, provider, name)
            else:
                self._calls.anywhere(caller, name)
        if caller.models is not None and (tools := named.running_tools):
            raise errors.sdk(
                403,
                f"this API key is limited to certain models, and the tool {tools[0][:80]!r} may run another one",
                code="model_not_allowed",
                param="tools",
            )


def _route(entry: ModelEntry) -> str:
    if entry.provider:
        return f"external/{entry.provider}"
    return entry.path_prefix.strip("/") if entry.local is not None and entry.local.address else ""


def _closed(provider: Provider, whose: str, call: Call) -> ApiError:
    offered = [f"POST {provider.path_prefix}{path}" for path in (*provider.model_paths, *provider.bearer_paths)]
    offered.append(f"GET {provider.path_prefix}{provider.v1}models")
    message = f"{call.method} {call.path[:200]} is not open to {whose}. Open: {', '.join(offered)}"
    return errors.sdk(403, message, code="endpoint_not_open")


def _no_endpoint(path: str) -> ApiError:
    near = difflib.get_close_matches(path[:100], [f"{ROOT}{name}" for name in ENDPOINTS], 3)
    offered = ", ".join(near or [f"{ROOT}{name}" for name in ENDPOINTS])
    message = (
        f"There is no {path[:200]} at this gateway. Endpoints: {offered}, GET {ROOT}models. "
        f"Base URLs: the gateway's root, {PATH_ROOT}<provider>/, /<namespace>/<model>/"
    )
    return errors.sdk(404, message, code="unknown_route")
