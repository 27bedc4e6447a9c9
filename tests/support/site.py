"""The service with its page, two users, an admin, models and usage: what the page's tests look at."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from maas_api.app import build
from maas_api.config import load
from maas_api.store.database import Database, open_database
from tests.support.serving import serving

TENANT = "models-as-a-service"
TOKENS = {"alice": "alice-token-of-a-test", "bob": "bob-token-of-a-test", "root": "root-token-of-a-test"}
GROUPS = {"alice": ["developers"], "bob": ["developers"], "root": ["developers", "maas-admins"]}
GATEWAY = "https://models.example.com"

MODELS: list[dict[str, Any]] = [
    {
        "id": "gpt-4o-mini",
        "provider": "openai",
        "displayName": "GPT-4o mini",
        "description": "Small, quick, for everyday questions.",
        "contextWindow": "128k",
        "maxOutputTokens": 16384,
        "capabilities": ["vision", "tools"],
        "prices": [{"input": 0.15, "output": 0.6, "currency": "USD"}],
    },
    {
        "id": "claude-sonnet-4-20250514",
        "provider": "anthropic",
        "displayName": "Claude Sonnet 4",
        "contextWindow": "200k",
        "prices": [{"input": 3, "output": 15, "currency": "USD"}],
    },
    {"id": "text-embedding-3-small", "provider": "openai", "contextWindow": 8191},
    {"id": "mistral-large", "provider": "mistral", "displayName": "Mistral Large"},
    {"id": "for-admins-only", "provider": "openai", "groups": ["maas-admins"]},
    {"id": "spoiled", "provider": "openai", "contxtWindow": 1},
]


@dataclass(frozen=True)
class Site:
    """The running service, its store and its folder of manifests."""

    url: str
    database: Database
    manifests: Path

    def sql(self, statement: str, **values: Any) -> Sequence[Any]:
        """Look into the store, or change it, behind the service's back."""
        with self.database.writing() as connection:
            done = connection.execute(sa.text(statement), values)
            return done.all() if done.returns_rows else []


def write_models(folder: Path, models: list[dict[str, Any]], name: str = "external-model-registry") -> None:
    """The registry, as an operator writes it."""
    document = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "creationTimestamp": "2026-03-15T04:00:00Z"},
        "data": {"models": yaml.safe_dump(models)},
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(document))


@contextmanager
def running(folder: Path, models: list[dict[str, Any]] | None = None, **flags: str) -> Iterator[Site]:
    """Serve over ``folder`` until the block ends. ``flags`` by their fields' names, as in the settings."""
    manifests = folder / "manifests"
    manifests.mkdir()
    write_models(manifests, MODELS if models is None else models)
    tokens = folder / "tokens.yaml"
    users = [{"token": token, "username": name, "groups": GROUPS[name]} for name, token in TOKENS.items()]
    tokens.write_text(json.dumps(users))
    url = f"sqlite:///{folder / 'page.db'}"
    settings = {
        "database_url": url,
        "kubernetes": "off",
        "manifests": str(manifests),
        "tokens_file": str(tokens),
        "default_subscription": "default",
        "admin_groups": "maas-admins",
        "page": "local",
        "gateway_url": GATEWAY,
        "routed_providers": "openai,anthropic",
        "validation_deadline_ms": "5000",
        "metrics_port": "0",
    }
    database = open_database(url)
    with serving(build(load(settings | flags, {}))) as base:
        yield Site(base, database, manifests)
    database.stop()


def used(
    site: Site, username: str, key_id: str, model: str, *, days_ago: int, tokens: tuple[int, int], requests: int = 3
) -> None:
    """Calls that were made: hourly sums as the intake leaves them. ``tokens``: input and output."""
    noon = (datetime.now(UTC) - timedelta(days=days_ago)).replace(hour=0, minute=0, second=0, microsecond=0)
    site.sql(
        "INSERT INTO maas_usage (tenant, username, key_id, hour, model, subscription, provider, endpoint, requests,"
        " errors, interrupted, unmetered, input, output, cached, written, reasoning, duration_ms, first_event_ms,"
        " first_events) VALUES (:tenant, :username, :key_id, :hour, :model, 'default', 'openai', 'chat', :requests,"
        " 1, 0, 0, :input, :output, 0, 0, 0, 900, 90, 1)",
        tenant=TENANT,
        username=username,
        key_id=key_id,
        hour=noon.strftime("%Y-%m-%d %H:%M:%S.000000"),
        model=model,
        requests=requests,
        input=tokens[0],
        output=tokens[1],
    )
    site.sql(
        "INSERT INTO maas_usage_keys (tenant, key_id, username, name, subscription) SELECT :tenant, :key, username,"
        " name, subscription FROM api_keys WHERE id = :key ON CONFLICT DO NOTHING",
        tenant=TENANT,
        key=key_id,
    )
