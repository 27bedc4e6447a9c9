"""Everything the demo runs, in one folder: simulators, ``maas-api serve``, Envoy, and the secrets between them."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import ssl
import string
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import urllib3
import yaml

from maas_api.demo.certificates import Authority
from maas_api.demo.client import Client
from maas_api.demo.own_provider import OwnProvider
from maas_api.demo.process import Child, StartError, check_port, free_port
from maas_api.demo.routing import Routing, Sites, catalog_of, routing
from maas_api.demo.simulators.anthropic_api import anthropic_api
from maas_api.demo.simulators.issuer import Issuer, Person
from maas_api.demo.simulators.model_server import model_server
from maas_api.demo.simulators.openai_api import openai_api
from maas_api.demo.simulators.server import Answer, Simulator
from maas_api.gateway.envoy import Address, Upstream
from maas_api.gateway.envoy.secrets import INTERNAL_SECRET, provider_secret
from maas_api.gateway.process import EnvoyProcess

PROVIDER_HOSTS = {"openai": "api.openai.com", "anthropic": "api.anthropic.com"}
_APIS: Mapping[str, Callable[[str], Answer]] = {"openai": openai_api, "anthropic": anthropic_api}

ISSUER = "issuer"
"""The simulated issuer's name among the simulators."""

PAUSE = 0.03
"""Seconds between two events of a simulator's stream."""

WORKERS = 2
"""Processes of the service: with more than one, what one of them remembers matters."""

ADMINS = "maas-admins"
"""The group of the demo's admins."""

_START_SECONDS = 20.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class User:
    """A platform user of the static token file."""

    username: str
    token: str
    groups: tuple[str, ...]


class Stack:
    """The running demo. A context manager; leaving it ends every process, whatever state they are in.

    ``real``: provider name -> its key; those providers are called for real, the others are simulated. ``port``: the
    gateway's port, 0 for a free one. ``own``: further providers, each with its key.
    ``cors_origins``: whose pages may call from a browser. ``oidc``: with an OpenID Connect issuer and a user of it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        real: Mapping[str, str] | None = None,
        port: int = 0,
        own: Sequence[tuple[OwnProvider, str]] = (),
        cors_origins: tuple[str, ...] = (),
        oidc: bool = False,
    ) -> None:
        self.folder = folder
        self.manifests = folder / "manifests"
        self.logs = folder / "logs"
        self.secrets = folder / "secrets"
        self.real = dict(real or {})
        self.cors_origins = cors_origins
        self.own = {item.name: item for item, _ in own}
        self._own_keys = {item.name: key for item, key in own}
        self.keys = {name: self.real.get(name) or f"provider-{secrets.token_urlsafe(24)}" for name in PROVIDER_HOSTS}
        self.user = User("alice", secrets.token_urlsafe(24), ("system:authenticated", "developers"))
        self.admin = User("root", secrets.token_urlsafe(24), ("system:authenticated", ADMINS))
        bob = Person("bob", secrets.token_urlsafe(24), ("researchers",))
        self.issuer = Issuer(bob, "maas", "maas-cli") if oidc else None
        self.simulators: dict[str, Simulator] = {}
        self.service: Child
        self.envoy = EnvoyProcess(folder / "envoy")
        self.source, self.catalog = catalog_of(self.manifests)
        self.client: Client
        self._port = port or free_port()  # chosen now: the listing tells it before Envoy listens
        self._internal_secret = secrets.token_urlsafe(24)
        self._service_port = free_port()
        self._authority = Authority()
        self._closing = contextlib.ExitStack()

    # -- where things are

    @property
    def url(self) -> str:
        """The gateway, the only address a client needs."""
        host, port = self.envoy.address
        return f"http://{host}:{port}"

    @property
    def service_url(self) -> str:
        """``maas-api serve`` itself, behind the gateway."""
        return f"http://127.0.0.1:{self._service_port}"

    @property
    def registry(self) -> Path:
        """The manifest that lists external models."""
        return self.manifests / "external-model-registry.yaml"

    @property
    def secret_folders(self) -> tuple[Path, ...]:
        """The only places on disk where a secret may lie."""
        return self.secrets, self.envoy.folder / "secrets"

    def simulated(self, provider: str) -> bool:
        """Whether a simulator stands in for the provider (the in-cluster model, ``""``, always is)."""
        return provider not in self.real

    def received(self) -> dict[str, int]:
        """How many requests each model server has received."""
        return {name: len(simulator.received) for name, simulator in self.simulators.items() if name != ISSUER}

    # -- lifecycle

    def start(self, say: Say) -> None:
        """Start everything and wait until it serves. Raises StartError, EnvoyError or OSError."""
        check_port(self._port)
        self._prepare_folder()
        self._start_simulators()
        names = [f"{name} {simulator.url}" for name, simulator in self.simulators.items()]
        say(f"simulators: {', '.join(names)}")
        self._write_manifests()
        self._write_users()
        self._make_service()
        self.start_service()
        say(f"maas-api serve: {self.service_url}, gunicorn, SQLite, models from {self.manifests}")
        self._closing.callback(self.envoy.stop)
        for name, key in (self.keys | self._own_keys).items():
            self.envoy.put_secret(provider_secret(name), key)
        self.envoy.put_secret(INTERNAL_SECRET, self._internal_secret)
        self.source.load()
        self.catalog.build()
        self.envoy.start(self.routing().plan, timeout=_START_SECONDS)
        self.client = Client(self.url)
        self._closing.callback(self.client.close)
        say(f"Envoy: {self.url}, the only address a client needs")

    def start_service(self) -> None:
        """Start ``maas-api serve`` and wait until it is ready. Raises StartError."""
        self.service.start()
        self.service.await_ready(self._service_ready, _START_SECONDS)

    def stop(self) -> None:
        """End everything. Safe in every state, and twice."""
        self._closing.close()

    def __enter__(self) -> Stack:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def routing(self) -> Routing:
        """What the gateway shall do for the manifests as this process saw them last."""
        sites = Sites(
            ca_file=self.folder / "ca.pem",
            simulated={
                name: Address("127.0.0.1", simulator.port)
                for name, simulator in self.simulators.items()
                if name in PROVIDER_HOSTS
            },
            real={name: _system_ca() for name in self.real},
            own=self.own,
            system_ca=_system_ca(),
        )
        listen = Address("127.0.0.1", self._port)
        return routing(
            self.catalog.snapshot,
            sites,
            listen=listen,
            maas_api=Upstream.from_url(self.service_url),
            cors_origins=self.cors_origins,
        )

    # -- the pieces

    def _prepare_folder(self) -> None:
        for folder in (self.folder, self.manifests, self.logs, self.secrets):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._authority.write(self.folder / "ca.pem")
        _write_secret(self.secrets / "internal", self._internal_secret)

    def _start_simulators(self) -> None:
        made = [("model server", "127.0.0.1", model_server("facebook/opt-125m"))]
        made += [
            (name, host, _APIS[name](self.keys[name])) for name, host in PROVIDER_HOSTS.items() if name not in self.real
        ]
        if self.issuer is not None:
            made.append((ISSUER, "127.0.0.1", self.issuer.answer))
        for name, host, answer in made:
            simulator = Simulator(name, answer, certificate=self._authority.server(host), pause=PAUSE)
            self._closing.callback(simulator.stop)
            simulator.start()
            self.simulators[name] = simulator
        if self.issuer is not None:
            self.issuer.url = self.simulators[ISSUER].url

    def _write_manifests(self) -> None:
        values = {"model_server": self.simulators["model server"].url, "gateway": f"http://127.0.0.1:{self._port}"}
        for file in resources.files("maas_api.demo").joinpath("data", "manifests").iterdir():
            text = string.Template(file.read_text("utf-8")).substitute(values)
            (self.manifests / file.name).write_text(text, "utf-8")
        with self.registry.open("a", encoding="utf-8") as registry:
            registry.writelines(item.registered() for item in self.own.values())

    def _write_users(self) -> None:
        users = [
            {"token": user.token, "username": user.username, "groups": list(user.groups)}
            for user in (self.user, self.admin)
        ]
        _write_secret(self.secrets / "tokens.yaml", yaml.safe_dump(users))

    def _make_service(self) -> None:
        options = {
            "--address": f"127.0.0.1:{self._service_port}",
            "--workers": str(WORKERS),
            "--manifests": self.manifests,
            "--kubernetes": "off",
            "--tokens-file": self.secrets / "tokens.yaml",
            "--internal-secret-file": self.secrets / "internal",
            "--default-subscription": "default",
            "--admin-check": "off",
            "--admin-groups": ADMINS,
            "--page": "local",
            "--gateway-url": f"http://127.0.0.1:{self._port}",
            "--routed-providers": ",".join((*PROVIDER_HOSTS, *self.own)),
            "--sqlite-path": self.folder / "maas-api.db",
            "--metrics-port": "0",
            # Production gives up after 100 ms; a laptop may be busy with everything else the demo starts.
            "--validation-deadline-ms": "900",
            "--graceful-timeout": "2",
            "--log-format": "text",
        }
        if self.issuer is not None:
            options |= {
                "--oidc-issuer": self.issuer.url,
                "--oidc-audiences": self.issuer.audience,
                "--oidc-authorized-parties": self.issuer.party,
                "--oidc-username-claim": "preferred_username",
                "--oidc-username-prefix": "oidc:",
                "--oidc-ca-file": self.folder / "ca.pem",
            }
        flags = [str(part) for pair in options.items() for part in pair]
        command = [sys.executable, "-m", "maas_api", "serve", *flags]
        self.service = Child("maas-api serve", command, self.logs / "service.log", dict(_clean_environment()))
        self._closing.callback(self.service.stop)

    def _service_ready(self) -> bool:
        try:
            return urllib3.request("GET", f"{self.service_url}/readyz", retries=False, timeout=1).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def discard(self) -> None:
        """Remove the folder with everything in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def keep_logs(self) -> None:
        """Remove what is secret and leave the rest of the folder to be read."""
        for folder in self.secret_folders:
            shutil.rmtree(folder, ignore_errors=True)
        for file in self.folder.glob("maas-api.db*"):
            file.unlink(missing_ok=True)


def _clean_environment() -> Iterator[tuple[str, str]]:
    """What a child needs from this process's environment: no option of the service, no provider's key."""
    wanted = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "VIRTUAL_ENV", "PYTHONPATH", "SYSTEMROOT")
    yield from ((name, os.environ[name]) for name in wanted if name in os.environ)
    yield "PYTHONUNBUFFERED", "1"


def _write_secret(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _system_ca() -> Path:
    found = ssl.get_default_verify_paths().cafile
    if found is None:
        raise StartError("no file of trusted CAs found on this system: name one in SSL_CERT_FILE")
    return Path(found)
