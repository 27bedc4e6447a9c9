"""The store of the settings: where it is, and connections to it."""

from __future__ import annotations

from collections.abc import Callable

from maas_api.config import ConfigError, Settings
from maas_api.store.database import Database, open_database

SECRET_KEY = "DB_CONNECTION_URL"  # noqa: S105 -- the name of the Secret's entry, as the Go service has it

SecretReader = Callable[[str, str, str], str]
"""(namespace, name, key) -> text. Raises ConfigError."""


def database_url(settings: Settings, read_secret: SecretReader) -> str:
    """The database's URL: from a flag or variable, a file, a Kubernetes Secret, else the embedded file's.

    Raises ConfigError naming the source and the rule, never the URL.
    """
    if settings.database_url:
        return settings.database_url
    if settings.database_url_file is not None:
        text = settings.database_url_file.read_text("utf-8").strip()
        return _checked(text, f"--database-url-file (DATABASE_URL_FILE): {settings.database_url_file}")
    if settings.database_secret:
        text = read_secret(settings.namespace, settings.database_secret, SECRET_KEY).strip()
        return _checked(
            text, f"--database-secret (DATABASE_SECRET): {settings.namespace}/{settings.database_secret}, {SECRET_KEY}"
        )
    return f"sqlite:///{settings.sqlite_path}"


def open_store(settings: Settings, url: str) -> Database:
    """The store as these settings say. ``url`` is the resolved database URL."""
    return open_database(
        url,
        max_open=settings.db_max_open_conns,
        max_idle=settings.db_max_idle_conns,
        max_lifetime=settings.db_conn_max_lifetime_seconds,
    )


def _checked(text: str, source: str) -> str:
    if not text.startswith(("postgresql://", "postgres://", "sqlite:///")):
        raise ConfigError(f"{source}: must hold a URL that starts with postgresql://, postgres:// or sqlite:///")
    return text
