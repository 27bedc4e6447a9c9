"""Every option of the service, once: its flag, environment variable, default, rule and sentence.

Precedence: flag, then environment variable, then default. Names and defaults follow the Go service where it has
the option. A wrong value is refused at start with the option's name and the rule it breaks.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maas_api.option_rules import Parser
from maas_api.option_rules import address as _address
from maas_api.option_rules import base_url as _base_url
from maas_api.option_rules import boolean as _boolean
from maas_api.option_rules import choice as _choice
from maas_api.option_rules import host as _host
from maas_api.option_rules import integer as _integer
from maas_api.option_rules import label as _label
from maas_api.option_rules import names as _names
from maas_api.option_rules import path as _path
from maas_api.option_rules import rate as _rate
from maas_api.option_rules import required as _required
from maas_api.option_rules import seconds as _seconds
from maas_api.option_rules import text as _text


class ConfigError(Exception):
    """A setting that cannot be used. The message names the flag, the variable, the rule and what was received."""


def option(default: str, env: str, section: str, help_: str, parse: Parser = _text, *, flag: str | None = None) -> Any:
    """A field of Settings. ``default`` is written as a user would write it and goes through ``parse`` like any value."""
    return dataclasses.field(
        default_factory=lambda: parse(default),
        metadata={
            "default": default,
            "env": env,
            "section": section,
            "help": help_,
            "parse": parse,
            "flag": flag,
            "switch": parse is _boolean,
        },
    )


SERVER, PLATFORM, KEYS, AUDIT, STORE, USAGE, CACHE, CALLERS, CATALOG, PAGE, OBSERVE = (
    "Server",
    "Platform",
    "API keys",
    "Audit",
    "Store",
    "Usage",
    "Validation cache",
    "Callers",
    "Model catalog",
    "Page",
    "Observability",
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The service's options, checked. Build it with :func:`load`; tests build it directly."""

    # A table: one option, one line.
    # fmt: off
    # Server
    address: str = option("", "ADDRESS", SERVER, "Where to listen, as host:port; without the host, on every address. Empty: on --host, port 8443 with TLS, 8080 without.", _address)
    host: str = option("127.0.0.1", "LISTEN_HOST", SERVER, "Where to listen when --address is empty: this machine alone, or 0.0.0.0 for every address (the image's choice).", _host)
    secure: bool = option("false", "SECURE", SERVER, "Serve HTTPS. Implied by a certificate or --tls-self-signed.", _boolean)
    tls_cert: Path | None = option("", "TLS_CERT", SERVER, "PEM file of the server's certificate chain; goes with --tls-key.", _path)
    tls_key: Path | None = option("", "TLS_KEY", SERVER, "PEM file of the certificate's private key.", _path)
    tls_self_signed: bool = option("false", "TLS_SELF_SIGNED", SERVER, "Make a self-signed certificate at start. Ignored when --tls-cert is given.", _boolean)
    tls_min_version: str = option("1.2", "TLS_MIN_VERSION", SERVER, "Lowest TLS version accepted: 1.2 or 1.3.", _choice("1.2", "1.3"))
    tls_client_ca: Path | None = option("", "TLS_CLIENT_CA", SERVER, "PEM file of CAs; clients must then present a certificate one of them signed.", _path)
    workers: int = option("2", "WEB_CONCURRENCY", SERVER, "Worker processes.", _integer(1, 64))
    threads: int = option("8", "WEB_THREADS", SERVER, "Threads per worker for everything that is not the hot path.", _integer(1, 256))
    keep_alive: int = option("120", "KEEP_ALIVE_SECONDS", SERVER, "Seconds an idle connection stays open. Keep it above the caller's own (Envoy and Authorino: 90).", _integer(1, 3600))
    graceful_timeout: int = option("15", "GRACEFUL_TIMEOUT_SECONDS", SERVER, "Seconds that requests in flight get after SIGTERM.", _integer(1, 600))
    max_body_bytes: int = option("131072", "MAX_BODY_BYTES", SERVER, "Largest request body of the API; the gateway's questions have a bound of their own.", _integer(1024, 64 * 1024 * 1024))
    max_connections: int = option("2000", "MAX_CONNECTIONS", SERVER, "Connections one worker serves at once; the next ones get 503.", _integer(1, 1_000_000))
    max_header_bytes: int = option("65536", "MAX_HEADER_BYTES", SERVER, "Largest request line and headers together.", _integer(4096, 1024 * 1024))
    header_timeout_seconds: float = option("5", "HEADER_TIMEOUT_SECONDS", SERVER, "Seconds a client has to send a request's headers, from their first byte.", _seconds(0.05, 600))
    body_timeout_seconds: float = option("15", "BODY_TIMEOUT_SECONDS", SERVER, "Seconds a client has to send a whole request, from its first byte.", _seconds(0.05, 600))
    write_timeout_seconds: float = option("30", "WRITE_TIMEOUT_SECONDS", SERVER, "Seconds a client may take no byte of an answer before it is cut off.", _seconds(0.05, 600))
    drain_seconds: float = option("2", "DRAIN_SECONDS", SERVER, "Seconds after SIGTERM in which requests are still accepted while /readyz says no, for load balancers and kept connections to notice.", _seconds(0, 300))
    debug: bool = option("false", "DEBUG_MODE", SERVER, "Allow CORS from localhost and log at debug level. Not for production.", _boolean)

    # Platform
    instance_name: str = option("", "INSTANCE_NAME", PLATFORM, "Name of this installation. Empty: the gateway's name.", flag="name")
    namespace: str = option("maas-api", "NAMESPACE", PLATFORM, "Namespace the service runs in; the registry ConfigMap is read there.", _label)
    gateway_name: str = option("maas-default-gateway", "GATEWAY_NAME", PLATFORM, "Gateway whose models are listed.", _required)
    gateway_namespace: str = option("openshift-ingress", "GATEWAY_NAMESPACE", PLATFORM, "Namespace of that gateway.", _label)
    maas_subscription_namespace: str = option("models-as-a-service", "MAAS_SUBSCRIPTION_NAMESPACE", PLATFORM, "Namespace of MaaSSubscription and MaaSAuthPolicy objects; the admin check is made there.", _label)
    tenant_name: str = option("models-as-a-service", "TENANT_NAME", PLATFORM, "Tenant of every key minted and looked up here.", _required)
    default_subscription: str = option("", "DEFAULT_SUBSCRIPTION", PLATFORM, "Subscription bound to keys where the cluster has no MaaSSubscription kind. Empty: minting needs one.")

    # API keys
    api_key_max_expiration_days: int = option("90", "API_KEY_MAX_EXPIRATION_DAYS", KEYS, "Longest life of a key, and its default.", _integer(1, 36500))
    api_key_max_per_user: int = option("0", "API_KEY_MAX_PER_USER", KEYS, "Most active keys of one user: the next mint is 409 and names the oldest. 0: any number.", _integer(0, 1_000_000))
    api_key_mints_per_minute: int = option("0", "API_KEY_MINTS_PER_MINUTE", KEYS, "Most keys that one user makes in a minute: the next mint is 429. 0: any number.", _integer(0, 1_000_000))
    mint_unknown_fields: str = option("refuse", "MINT_UNKNOWN_FIELDS", KEYS, "What becomes of a new key's request with a field that does not exist: refuse names the field, ignore is the Go service's way, for old clients.", _choice("refuse", "ignore"))
    last_used_debounce_seconds: int = option("60", "LAST_USED_DEBOUNCE_SECS", KEYS, "A key's last use is written at most once in this many seconds; 0 writes each.", _integer(0, 86400))
    last_used_flush_seconds: float = option("5", "LAST_USED_FLUSH_SECONDS", KEYS, "Seconds between batched writes of last uses.", _seconds(0.05, 3600))
    rotation_grace_max_seconds: int = option("86400", "ROTATION_GRACE_MAX_SECONDS", KEYS, "Longest time an old secret may stay valid after a rotation.", _integer(0, 7 * 86400))

    # Audit
    audit_retention_days: int = option("400", "AUDIT_RETENTION_DAYS", AUDIT, "Days that audit records are kept; 0 keeps them for ever. PostgreSQL drops whole months.", _integer(0, 36500))
    audit_file: Path | None = option("", "AUDIT_FILE", AUDIT, "File that gets each audit record as a JSON line, with real names: a path, or /dev/stdout. Empty: none.", _path)
    audit_names: bool = option("false", "AUDIT_NAMES", AUDIT, "Real user names in the log's AUDIT lines, which have a hash of them otherwise.", _boolean)

    # Store
    database_url: str = option("", "DATABASE_URL", STORE, "postgresql://... or sqlite:///path. Empty: --database-url-file, then --database-secret, then the embedded SQLite file.")
    database_url_file: Path | None = option("", "DATABASE_URL_FILE", STORE, "File that holds the database URL, such as a mounted Secret.", _path)
    database_secret: str = option("", "DATABASE_SECRET", STORE, "Kubernetes Secret in --namespace whose key DB_CONNECTION_URL holds the URL (the Go service's: maas-db-config).")
    sqlite_path: Path = option("maas-api.db", "SQLITE_PATH", STORE, "The embedded database's file.", lambda text: Path(_required(text)))
    db_max_open_conns: int = option("25", "DB_MAX_OPEN_CONNS", STORE, "Most connections of one worker to PostgreSQL.", _integer(1, 1000))
    db_max_idle_conns: int = option("5", "DB_MAX_IDLE_CONNS", STORE, "Connections one worker keeps open when idle.", _integer(0, 1000))
    db_conn_max_lifetime_seconds: int = option("300", "DB_CONN_MAX_LIFETIME_SECONDS", STORE, "A connection older than this is replaced.", _integer(1, 86400))

    # Usage
    usage_retention_days: int = option("400", "USAGE_RETENTION_DAYS", USAGE, "Days that hourly sums of usage are kept; 0 keeps them for ever. PostgreSQL drops whole months.", _integer(0, 36500))
    usage_secret_file: Path | None = option("", "USAGE_SECRET_FILE", USAGE, "File with a secret that whoever posts usage may send as X-MaaS-Internal-Secret instead of that of all of /internal; two lines while it is exchanged. Read again when it changes.", _path)
    prices_file: Path | None = option("", "PRICES_FILE", USAGE, "YAML file of prices for a million tokens, read again when it changes. Its prices of a model count before the registry's.", _path)
    default_budget: str = option("", "DEFAULT_BUDGET", USAGE, "Budget of a new key that asks for none, such as '100000 tokens/day, 25.50 USD/month, 90 USD total'. Empty: none.")
    max_budget: str = option("", "MAX_BUDGET", USAGE, "Largest budget that a new key may have, for each period and kind named; every new key gets it. Empty: no limit.")
    budget_hold_tokens: int = option("4000", "BUDGET_HOLD_TOKENS", USAGE, "Tokens (or what they cost) held of budgets for a call until its usage arrives. A call that takes more can overshoot by the rest.", _integer(1, 10_000_000))
    budget_unreported: str = option("release", "BUDGET_UNREPORTED", USAGE, "What becomes of a budget's hold that no usage answers within a quarter to half of an hour: release lets go of it, spend counts it as spent.", _choice("release", "spend"))
    budget_outage_calls: int = option("0", "BUDGET_OUTAGE_CALLS", USAGE, "Calls that count against a budget which each worker lets pass while the store is down, of each key; 0 refuses them.", _integer(0, 1_000_000))

    # Validation cache
    validation_cache_size: int = option("100000", "VALIDATION_CACHE_SIZE", CACHE, "Most validation answers one worker remembers; 0 looks every key up.", _integer(0, 10_000_000))
    validation_trust_seconds: float = option("5", "VALIDATION_TRUST_SECONDS", CACHE, "How long an answer is trusted while the notification channel is down.", _seconds(0, 60))
    validation_max_age_seconds: float = option("60", "VALIDATION_MAX_AGE_SECONDS", CACHE, "How long an answer is trusted at the most. Bounds what nobody announces: what others change in the database where the trigger on api_keys could not be made.", _seconds(0, 3600))
    validation_grace_seconds: float = option("60", "VALIDATION_GRACE_SECONDS", CACHE, "How long known keys keep validating while the store is down; 0 refuses at once.", _seconds(0, 3600))
    validation_deadline_ms: int = option("100", "VALIDATION_DEADLINE_MS", CACHE, "A validation is answered or given up within this many milliseconds.", _integer(5, 10_000))

    # Callers
    internal_secret_file: Path | None = option("", "INTERNAL_SECRET_FILE", CALLERS, "File with a shared secret that callers of /internal must send as X-MaaS-Internal-Secret; two lines while it is exchanged. Read again when it changes.", _path)
    tokens_file: Path | None = option("", "TOKENS_FILE", CALLERS, "YAML file of platform users for a machine without a cluster: token, username, groups.", _path)
    sign_in: bool = option("false", "SIGN_IN", CALLERS, "Sign callers in here, by an API key or a platform token, where no gateway does. For a laptop: loopback only, and no request with a gateway's headers.", _boolean)
    oidc_issuer: str = option("", "OIDC_ISSUER", CALLERS, "URL of an OpenID Connect issuer, as its tokens say it (iss): they sign its users in as platform tokens do. Empty: none. Several: --oidc-file.")
    oidc_audiences: tuple[str, ...] = option("", "OIDC_AUDIENCES", CALLERS, "Audiences (aud) one of which a token of the issuer must have, separated by commas.", _names)
    oidc_authorized_parties: tuple[str, ...] = option("", "OIDC_AUTHORIZED_PARTIES", CALLERS, "Applications (azp, else client_id) one of which a token must have been made for, separated by commas. Empty: any.", _names)
    oidc_username_claim: str = option("sub", "OIDC_USERNAME_CLAIM", CALLERS, "Claim with the user's name. email counts only with email_verified.", _required)
    oidc_username_prefix: str = option("", "OIDC_USERNAME_PREFIX", CALLERS, "Put before each name, such as oidc:. Needed beside users from elsewhere, so that two people never have one name.")
    oidc_groups_claim: str = option("groups", "OIDC_GROUPS_CLAIM", CALLERS, "Claim with the user's groups, dots lead into objects (realm_access.roles). Everybody is in system:authenticated besides.", _required)
    oidc_groups_prefix: str = option("", "OIDC_GROUPS_PREFIX", CALLERS, "Put before each of these groups.")
    oidc_ca_file: Path | None = option("", "OIDC_CA_FILE", CALLERS, "PEM file of the CAs that sign the issuer's certificate. Empty: the system's.", _path)
    oidc_file: Path | None = option("", "OIDC_FILE", CALLERS, "YAML file of several issuers: a list, each with issuer, audiences and what else the flags have, named as they are without oidc-.", _path)
    token_review: bool = option("false", "TOKEN_REVIEW", CALLERS, "Check platform tokens by TokenReview, for ext_authz and for the callback.", _boolean)
    token_audiences: tuple[str, ...] = option("", "TOKEN_AUDIENCES", CALLERS, "Audiences one of which a token must carry that ext_authz asks about, separated by commas. The callback names its own.", _names)
    provider_open_paths: tuple[str, ...] = option("", "PROVIDER_OPEN_PATHS", CALLERS, "What callers reach of a provider's account beside its models (batches, files), as provider:METHOD /path, '*' at the end for all below, separated by commas. Empty: nothing.", _names)
    tenants_endpoint: bool = option("false", "TENANTS_ENDPOINT", CALLERS, "Answer GET /v1/tenants to users of the cluster. Needs to review tokens and to read the Gateway.", _boolean)
    live_groups: str = option("off", "LIVE_GROUPS", CALLERS, "Where a key's owner is looked up at each call, so that a key has its owner's groups of now: openshift (Group objects), configmap (--live-groups-configmap), or off: the groups at mint.", _choice("off", "openshift", "configmap"))
    live_groups_configmap: str = option("maas-directory", "LIVE_GROUPS_CONFIGMAP", CALLERS, "ConfigMap in --namespace whose entry directory.yaml lists groups with their members, and who is disabled.", _required)
    live_groups_managed: tuple[str, ...] = option("", "LIVE_GROUPS_MANAGED", CALLERS, "Groups that the source decides even where it does not have them, by name or with '*' at the end, separated by commas. Others that it does not have stay as at mint.", _names)
    live_groups_owners: str = option("any", "LIVE_GROUPS_OWNERS", CALLERS, "Whose keys are valid: any, or listed: an owner in none of the source's groups has left. Service accounts are never listed.", _choice("any", "listed"))
    admin_users: tuple[str, ...] = option("", "ADMIN_USERS", CALLERS, "Users who are admins without asking the cluster, separated by commas.", _names)
    admin_groups: tuple[str, ...] = option("", "ADMIN_GROUPS", CALLERS, "Groups whose members are admins without asking the cluster, separated by commas.", _names)
    admin_check: str = option("auto", "ADMIN_CHECK", CALLERS, "Ask the cluster who is an admin (SubjectAccessReview): on, off, or auto (on inside a cluster).", _choice("auto", "on", "off"))
    sar_cache_max_size: int = option("8192", "SAR_CACHE_MAX_SIZE", CALLERS, "Most SubjectAccessReview answers remembered.", _integer(1, 1_000_000))

    # Model catalog
    manifests: Path | None = option("", "MANIFESTS", CATALOG, "Folder of Kubernetes manifests to read models from, watched for edits.", _path)
    kubernetes: str = option("auto", "KUBERNETES", CATALOG, "Watch a cluster: on, off, or auto (on inside a cluster and when no folder is given).", _choice("auto", "on", "off"))
    kubeconfig: Path | None = option("", "KUBECONFIG", CATALOG, "Kubeconfig file. Empty: the service account of the pod.", _path)
    kube_qps: int = option("20", "KUBE_QPS", CATALOG, "Most requests a second to the Kubernetes API, on average.", _integer(1, 10_000))
    kube_burst: int = option("40", "KUBE_BURST", CATALOG, "Most requests at once to the Kubernetes API.", _integer(1, 10_000))
    registry_configmap: str = option("external-model-registry", "REGISTRY_CONFIGMAP", CATALOG, "ConfigMap that lists external models.", _required)
    routed_providers: tuple[str, ...] = option("", "ROUTED_PROVIDERS", CATALOG, "Providers that the gateway routes, separated by commas: models of others are listed as not ready, with the reason. Empty: all are.", _names)
    source_llminferenceservices: str = option("auto", "SOURCE_LLMINFERENCESERVICES", CATALOG, "List LLMInferenceServices: on, off, or auto (where the kind exists).", _choice("auto", "on", "off"))
    source_inferenceservices: str = option("off", "SOURCE_INFERENCESERVICES", CATALOG, "List InferenceServices: on, off, or auto.", _choice("auto", "on", "off"))
    source_maasmodelrefs: str = option("off", "SOURCE_MAASMODELREFS", CATALOG, "List MaaSModelRefs: on, off, or auto.", _choice("auto", "on", "off"))
    source_registry: str = option("on", "SOURCE_REGISTRY", CATALOG, "List the registry ConfigMap's models: on or off.", _choice("on", "off"))
    source_subscriptions: str = option("auto", "SOURCE_SUBSCRIPTIONS", CATALOG, "Read MaaSSubscriptions and MaaSAuthPolicies: on, off, or auto.", _choice("auto", "on", "off"))
    namespace_access_check: bool = option("false", "NAMESPACE_ACCESS_CHECK", CATALOG, "Hide a namespace's models from callers who may not get its LLMInferenceServices (SubjectAccessReview, cached).", _boolean)

    # Page
    page: str = option("auto", "PAGE", PAGE, "The self-service page below /ui/: gateway believes whom the gateway names, as the API does; local signs people in by their platform token, for this machine alone; off; auto is local with --sign-in, else gateway.", _choice("auto", "gateway", "local", "off"))
    api_docs: str = option("auto", "API_DOCS", PAGE, "The API's own page at /docs, from openapi.yaml: on, off; auto is on with --sign-in, on a laptop, else off.", _choice("auto", "on", "off"))
    gateway_url: str = option("", "GATEWAY_URL", PAGE, "Where clients call the models, as the page tells them: https://host. Empty: the address that the browser used.", _base_url)
    page_session_seconds: int = option("28800", "PAGE_SESSION_SECONDS", PAGE, "Longest session of somebody whom the page signed in itself.", _integer(60, 30 * 86400))

    # Observability
    metrics_address: str = option("", "METRICS_ADDRESS", OBSERVE, "Host of the metrics listener. Empty: the API's.", _host)
    metrics_port: int = option("9090", "METRICS_PORT", OBSERVE, "Port of the metrics listener; 0 turns it off.", _integer(0, 65535))
    log_format: str = option("auto", "LOG_FORMAT", OBSERVE, "json, text, or auto (text on a terminal).", _choice("auto", "json", "text"))
    log_level: str = option("info", "LOG_LEVEL", OBSERVE, "debug, info, warning or error.", _choice("debug", "info", "warning", "error"))
    access_log_sample: float = option("0.01", "ACCESS_LOG_SAMPLE", OBSERVE, "Share of the hot path's successful calls that get an access line, from 0 to 1. Refused calls get one each (at most 100 a second), all other requests always.", _rate)
    otel_exporter_otlp_endpoint: str = option("", "OTEL_EXPORTER_OTLP_ENDPOINT", OBSERVE, "Where to send traces (OTLP over gRPC). Empty: no tracing.")
    otel_exporter_otlp_insecure: bool = option("false", "OTEL_EXPORTER_OTLP_INSECURE", OBSERVE, "Send traces without TLS.", _boolean)
    otel_traces_sample_rate: float = option("1.0", "OTEL_TRACES_SAMPLE_RATE", OBSERVE, "Share of traces recorded, from 0 to 1.", _rate)
    # fmt: on

    @property
    def instance(self) -> str:
        """The installation's name."""
        return self.instance_name or self.gateway_name

    @property
    def tls(self) -> bool:
        """Whether the service speaks HTTPS."""
        return self.secure or self.tls_cert is not None or self.tls_self_signed

    @property
    def oidc(self) -> bool:
        """Whether users of OpenID Connect issuers sign in."""
        return bool(self.oidc_issuer) or self.oidc_file is not None

    @property
    def page_mode(self) -> str:
        """``gateway``, ``local`` or ``off``."""
        return self.page if self.page != "auto" else "local" if self.sign_in else "gateway"

    @property
    def docs_shown(self) -> bool:
        """Whether ``/docs`` is served."""
        return self.sign_in if self.api_docs == "auto" else self.api_docs == "on"

    @property
    def bind(self) -> tuple[str, int]:
        """Host and port to listen on."""
        if not self.address:
            return self.host or "0.0.0.0", 8443 if self.tls else 8080
        host, _, port = self.address.rpartition(":")
        return host.strip("[]") or "0.0.0.0", int(port)

    @property
    def metrics_bind(self) -> tuple[str, int]:
        """Host and port of the metrics listener; port 0 for none."""
        return self.metrics_address or self.bind[0], self.metrics_port


def flag_name(field: dataclasses.Field[Any]) -> str:
    """The command line's name of a setting, with its dashes."""
    return "--" + (field.metadata["flag"] or field.name.replace("_", "-"))


def load(flags: Mapping[str, Any], environ: Mapping[str, str]) -> Settings:
    """Settings from flags (field name -> text or None) and the environment.

    Raises ConfigError for the first wrong value or combination. An empty environment variable counts as absent.
    """
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Settings):
        meta = field.metadata
        given = flags.get(field.name)
        source = flag_name(field)
        if given is None and environ.get(meta["env"], "") != "":
            given, source = environ[meta["env"]], meta["env"]
        if given is None:
            continue
        text = str(given)
        try:
            values[field.name] = meta["parse"](text)
        except ValueError as fault:
            shown = "" if field.name == "database_url" else f", got {text!r}"
            raise ConfigError(
                f"{source}: {fault}{shown} (option {flag_name(field)}, environment {meta['env']})"
            ) from None
    settings = Settings(**values)
    _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    """Rules that bind several options."""
    if (settings.tls_cert is None) != (settings.tls_key is None):
        missing = "--tls-key (TLS_KEY)" if settings.tls_key is None else "--tls-cert (TLS_CERT)"
        raise ConfigError(f"{missing}: must be given too, a certificate and its key go together")
    if settings.secure and settings.tls_cert is None and not settings.tls_self_signed:
        raise ConfigError("--secure (SECURE): needs --tls-cert and --tls-key, or --tls-self-signed")
    if settings.tls_client_ca is not None and not settings.tls:
        raise ConfigError(
            "--tls-client-ca (TLS_CLIENT_CA): needs TLS, give --tls-cert and --tls-key or --tls-self-signed"
        )
    if settings.database_url and not settings.database_url.startswith(("postgresql://", "postgres://", "sqlite:///")):
        raise ConfigError("--database-url (DATABASE_URL): must start with postgresql://, postgres:// or sqlite:///")
    for name in (
        "tls_cert",
        "tls_key",
        "tls_client_ca",
        "internal_secret_file",
        "usage_secret_file",
        "tokens_file",
        "oidc_ca_file",
        "oidc_file",
        "prices_file",
        "database_url_file",
    ):
        path = getattr(settings, name)
        if path is not None and not path.is_file():
            field = next(item for item in dataclasses.fields(Settings) if item.name == name)
            raise ConfigError(f"{flag_name(field)} ({field.metadata['env']}): no file at {str(path)!r}")
    if settings.oidc_issuer and settings.oidc_file is not None:
        raise ConfigError("--oidc-file (OIDC_FILE): names every issuer, so --oidc-issuer goes into it as well")
    if settings.sign_in and not (settings.tokens_file or settings.token_review or settings.oidc):
        raise ConfigError(
            "--sign-in (SIGN_IN): needs to know platform users, give --tokens-file, --token-review or --oidc-issuer"
        )
    if settings.sign_in and not _loopback(settings.bind[0]):
        raise ConfigError(
            f"--sign-in (SIGN_IN): is for this machine alone, and {settings.bind[0]} can be reached from others"
        )
    if settings.page == "local" and settings.tokens_file is None and not (settings.token_review or settings.oidc):
        raise ConfigError(
            "--page (PAGE): local needs to know users, give --tokens-file, --oidc-issuer or --token-review"
        )
    if settings.page == "local" and not _loopback(settings.bind[0]):
        raise ConfigError(
            f"--page (PAGE): local is for this machine alone, and {settings.bind[0]} can be reached from others"
        )
    if settings.manifests is not None and not settings.manifests.is_dir():
        raise ConfigError(f"--manifests (MANIFESTS): no folder at {str(settings.manifests)!r}")


def _loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
