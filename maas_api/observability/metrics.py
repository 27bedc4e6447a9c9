"""Every metric of the service, once: its name, its labels, its sentence.

The first block keeps the Go service's names and labels, so that dashboards and alerts written for it go on working;
everything else is this service's own. ``tenant_name`` is a constant of an installation and is added where the numbers
are written out, except where the Go service leaves it blank.

Code that has something to count imports this module and calls ``metrics.validations.labels("valid").inc()``, keeping
the series in a name of its own where it is on the hot path.
"""

from __future__ import annotations

from maas_api.observability.instruments import FINE_BUCKETS, Counter, Gauge, Histogram, Instrument

# The Go service's -------------------------------------------------------------------------------------------------

http_requests = Histogram(
    "maas_api_http_request_duration_seconds",
    "Time from a request's last header to its answer.",
    ("method", "route", "status"),
    bounds=FINE_BUCKETS,
    counted_as=("maas_api_http_requests_total", "Requests answered."),
)
http_in_flight = Gauge(
    "maas_api_http_requests_in_flight",
    "Requests being answered now.",
    ("method",),
    [("GET",), ("POST",), ("DELETE",)],
)
validations = Counter(
    "maas_api_key_validation_total",
    "Keys checked by the gateway's callback, by result. The tenant is blank for invalid ones.",
    ("result",),
    [("valid",), ("invalid",), ("error",)],
)
mints = Counter(
    "maas_api_token_mint_total",
    "Keys asked for, by result. A malformed request is not counted.",
    ("result",),
    [("success",), ("rejected",), ("failure",)],
)
sar_cache_hits = Counter("sar_cache_hits_total", "Admin checks answered from memory.")
sar_cache_misses = Counter("sar_cache_misses_total", "Admin checks asked of the cluster.")

token_reviews = Counter(
    "maas_api_token_reviews_total",
    "Platform tokens that the cluster was asked about, by result; those remembered are not among them.",
    ("result",),
    [("valid",), ("invalid",), ("error",)],
)

oidc_tokens = Counter(
    "maas_api_oidc_tokens_total",
    "Tokens of OpenID Connect issuers, by result. unknown: the issuer's keys could not be had.",
    ("result",),
    [("valid",), ("refused",), ("unknown",)],
)
oidc_fetches = Counter(
    "maas_api_oidc_fetches_total",
    "Times an issuer's keys were read, each worker for itself.",
    ("result",),
    [("success",), ("failure",)],
)

# Validation cache -------------------------------------------------------------------------------------------------

cache_outcomes = Counter(
    "maas_api_validation_cache_total",
    "Validations by how they were answered: hit (memory), miss (store), joined (waited for another caller's lookup), "
    "malformed (no lookup needed), grace (memory, while the store is down).",
    ("outcome",),
    [("hit",), ("miss",), ("joined",), ("malformed",), ("grace",)],
)
long_replies = Counter(
    "maas_api_validation_long_replies_total",
    "Valid keys whose answer is too long for Authorino's cache, so that it asks again at every request.",
)
cache_entries = Gauge("maas_api_validation_cache_entries", "Answers remembered, over all workers.")
lookups = Histogram(
    "maas_api_validation_lookup_duration_seconds",
    "Time of a key's lookup in the store, failed ones included.",
    bounds=FINE_BUCKETS,
)
channel_up = Gauge(
    "maas_api_invalidation_channel_up",
    "1 while every worker hears of revocations at once, 0 while one has to ask again every few seconds.",
    across="min",
)
notices = Counter("maas_api_invalidation_notices_total", "Revocation notices heard, each worker counting for itself.")
siblings_silent = Counter(
    "maas_api_siblings_silent_total",
    "Times a worker did not confirm a change to another of its instance in time; the store's channel tells it.",
)
revocations_unwritten = Gauge(
    "maas_api_revocations_unwritten",
    "Keys whose revocation the store has not taken yet; they are refused from memory.",
    across="max",
)
channel_reconnects = Counter("maas_api_invalidation_reconnects_total", "Times the notification channel was lost.")

# Store ------------------------------------------------------------------------------------------------------------

store_errors = Counter(
    "maas_api_store_errors_total",
    "Statements that failed for a reason of the store's.",
    ("operation",),
    [("lookup",), ("write",), ("last_used",), ("changes",), ("registry",), ("usage",), ("budget",), ("audit",)],
)
audit_lines_lost = Counter(
    "maas_api_audit_lines_lost_total", "Audit records that AUDIT_FILE could not take; the store has them."
)
pool_connections = Gauge(
    "maas_api_store_pool_connections",
    "Connections to the store, over all workers.",
    ("state",),
    [("in_use",), ("idle",)],
)
pool_limit = Gauge("maas_api_store_pool_limit", "Most connections to the store, over all workers.")
last_used_flushes = Counter(
    "maas_api_last_used_flushes_total",
    "Batches of last uses written, by result.",
    ("result",),
    [("success",), ("failure",)],
)
last_used_written = Counter("maas_api_last_used_written_total", "Keys whose last use was written.")
last_used_pending = Gauge("maas_api_last_used_pending", "Keys whose last use waits to be written.")

# Cluster ----------------------------------------------------------------------------------------------------------

watch_synced = Gauge(
    "maas_api_watch_synced",
    "1 once a source has been read in full, 0 before; an optional kind the cluster lacks counts as read.",
    ("source",),
    across="min",
)
watch_stale = Gauge(
    "maas_api_watch_stale",
    "1 while a source is out of touch or its newest state cannot be used; its last good state is served.",
    ("source",),
    across="max",
)
watch_contact = Gauge(
    "maas_api_watch_last_contact_timestamp_seconds",
    "When a source (the Kubernetes API, a folder of manifests) was last in touch: the worst worker's.",
    ("source",),
    across="min",
)
watch_relists = Counter("maas_api_watch_relists_total", "Full lists of a kind of object.", ("source",))
watch_restarts = Counter("maas_api_watch_restarts_total", "Watches that ended with an error.", ("source",))
watch_objects = Gauge("maas_api_watch_objects", "Objects of a kind in memory.", ("source",), across="max")
manifest_errors = Counter(
    "maas_api_manifest_errors_total", "Manifest files that could not be read; their last good state stays."
)

# Catalog ----------------------------------------------------------------------------------------------------------

catalog_models = Gauge("maas_api_catalog_models", "Models listed.", across="max")
catalog_ready = Gauge("maas_api_catalog_models_ready", "Models listed and ready.", across="max")
catalog_problems = Gauge(
    "maas_api_catalog_problems", "Entries skipped because they break a rule; the log names them.", across="max"
)
registry_outdated = Gauge(
    "maas_api_registry_outdated",
    "1 while the registry's newest document cannot be read: the last good one is in force, for every replica.",
    across="max",
)
catalog_builds = Histogram(
    "maas_api_catalog_build_duration_seconds",
    "Time to build and encode the catalog after a change.",
    bounds=FINE_BUCKETS,
)

# Usage ------------------------------------------------------------------------------------------------------------

usage_tokens = Counter(
    "maas_api_usage_tokens_total",
    "Tokens of calls as providers report them. Cached tokens are part of input, reasoning tokens of output.",
    ("subscription", "model", "kind"),
)
usage_requests = Counter(
    "maas_api_usage_requests_total",
    "Calls by what is known of their tokens: metered, unmetered (answered without usage), error (answered 400 and up).",
    ("subscription", "model", "outcome"),
)
usage_records = Counter(
    "maas_api_usage_records_total",
    "Records of the gateway's access log: counted, skipped (nobody's call), repeated (their batch came before).",
    ("result",),
    [("counted",), ("skipped",), ("repeated",)],
)
usage_batches = Counter(
    "maas_api_usage_batches_total",
    "Batches of records: taken (in the store), malformed, failed (the store did not take it; the sender must repeat).",
    ("result",),
    [("taken",), ("malformed",), ("failed",)],
)

budget_checks = Counter(
    "maas_api_budget_checks_total",
    "Calls that a budget or a subscription's limit counts: granted, low (granted, with less than a fifth left), spent "
    "(refused), unpriced (refused, the model has no price in the budget's currency), unknown (the store could not be "
    "asked).",
    ("result",),
    [("granted",), ("low",), ("spent",), ("unpriced",), ("unknown",)],
)

# Server -----------------------------------------------------------------------------------------------------------

deadline_exceeded = Counter(
    "maas_api_deadline_exceeded_total",
    "Answers of the hot path given up because what they waited for took too long.",
)
connections = Gauge("maas_api_http_connections", "Connections open, over all workers.")
refusals = Counter(
    "maas_api_http_refusals_total",
    "Requests and connections refused before they reached a route: connections (too many), given_way (an idle or "
    "silent one, closed for a new one), slow (headers or body took too long), headers (too large or too many), body "
    "(too large), pipelined (too many behind one another), malformed (not HTTP).",
    ("reason",),
    [("connections",), ("given_way",), ("slow",), ("headers",), ("body",), ("pipelined",), ("malformed",)],
)
tls_expiry = Gauge(
    "maas_api_tls_certificate_expiry_timestamp_seconds",
    "When the certificate in use ends; 0 without TLS.",
    across="min",
)
tls_reloads = Counter(
    "maas_api_tls_reloads_total",
    "Times the certificate's files changed, by result; after a failure the certificate in use stays.",
    ("result",),
    [("success",), ("failure",)],
)
workers = Gauge("maas_api_workers", "Worker processes that serve.")
log_lines_suppressed = Counter(
    "maas_api_log_lines_suppressed_total", "Log lines left out: too many refused calls at once, or nobody took lines."
)

# The process, under the names every client library uses -----------------------------------------------------------

process_memory = Gauge("process_resident_memory_bytes", "Resident memory, over all workers.")
process_cpu = Counter("process_cpu_seconds_total", "User and system CPU time, over all workers.")
process_fds = Gauge("process_open_fds", "Open file descriptors, over all workers.")
process_start = Gauge("process_start_time_seconds", "When the oldest worker started, in Unix time.", across="min")


def table() -> list[Instrument]:  # type: ignore[type-arg]  # a list of all three kinds
    """Every instrument above, in the order it is written here."""
    return [value for value in globals().values() if isinstance(value, Instrument)]
