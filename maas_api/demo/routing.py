"""From the folder of manifests to the gateway's plan: which models and providers are routed, and where to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from maas_api.config import Settings
from maas_api.demo.own_provider import OwnProvider
from maas_api.gateway.envoy import Address, Plan, PlanError, ProviderRoute, Upstream, provider_route
from maas_api.gateway.local_models import local_routes
from maas_api.kube.files import FolderSource
from maas_api.kube.objects import CONFIG_MAP, HTTP_ROUTE, LLM_INFERENCE_SERVICE
from maas_api.models.catalog import Catalog
from maas_api.models.snapshot import Snapshot
from maas_api.models.sources.kserve import Gateway
from maas_api.providers import PATH_ROOT, UnknownProvider, provider


class Sites(NamedTuple):
    """Where things are on this machine.

    ``simulated``: provider -> the simulator that stands in for it, trusted by ``ca_file``. ``real``: provider -> the
    file of CAs it is trusted by. ``own``: providers that the user brought, trusted by ``system_ca`` where they name no
    other. Any other provider has no key here.
    """

    ca_file: Path
    simulated: Mapping[str, Address]
    real: Mapping[str, Path]
    own: Mapping[str, OwnProvider] = MappingProxyType({})
    system_ca: Path = Path("/etc/ssl/certs/ca-certificates.crt")


class Routing(NamedTuple):
    """A plan, and a sentence for each listed model or provider that it cannot route."""

    plan: Plan
    left_out: tuple[str, ...]


def catalog_of(folder: Path) -> tuple[FolderSource, Catalog]:
    """The folder and the catalog built from it, by the rules of ``maas-api serve``. Neither is started."""
    defaults = Settings()
    source = FolderSource(folder, (CONFIG_MAP, HTTP_ROUTE, LLM_INFERENCE_SERVICE), default_namespace=defaults.namespace)
    catalog = Catalog(
        gateway=Gateway(defaults.gateway_name, defaults.gateway_namespace),
        registry=(defaults.namespace, defaults.registry_configmap),
        stores=tuple(source.stores.values()),
        feeds=(source,),
    )
    return source, catalog


def routing(
    snapshot: Snapshot, sites: Sites, *, listen: Address, maas_api: Upstream, cors_origins: tuple[str, ...] = ()
) -> Routing:
    """Route every local model at ``/<namespace>/<name>/`` and every provider at ``/external/<name>/``."""
    local = local_routes(snapshot, ca_file=sites.ca_file)
    providers: list[ProviderRoute] = []
    left_out = [f"no route: {problem}" for problem in local.problems]
    for name in snapshot.providers:
        try:
            providers.append(_provider(name, sites))
        except (UnknownProvider, PlanError) as fault:
            left_out.append(f"no route {PATH_ROOT}{name}/: {fault}")
    plan = Plan(
        listen=listen,
        maas_api=maas_api,
        models=local.routes,
        providers=tuple(providers),
        internal_secret=True,
        cors_origins=cors_origins,
    )
    return Routing(plan, tuple(left_out))


def _provider(name: str, sites: Sites) -> ProviderRoute:
    if name in sites.own:
        return sites.own[name].route(sites.system_ca)
    entry = provider(name)
    if name in sites.simulated:
        return provider_route(entry, ca_file=sites.ca_file, connect_to=sites.simulated[name])
    if name not in sites.real:
        raise PlanError("this demo has neither a simulator nor a key for it")
    return provider_route(entry, ca_file=sites.real[name])
