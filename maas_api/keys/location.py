"""Where the store is: a flag or variable, a file, a Kubernetes Secret, else the embedded file."""

from __future__ import annotations

from collections.abc import Callable

from maas_api.config import ConfigError, Settings

SECRET_KEY = "DB_CONNECTION_URL"  # noqa: S105 -- the name of the Secret's entry, as the Go service has it

SecretReader = Callable[[str, str, str], str]
"""(namespace, name, key) -> text. Raises ConfigError."""


def database_url(settings: Settings, read_secret: SecretReader) -> str:
    """The database's URL. Raises ConfigError naming the source and the rule, never the URL."""
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


def _checked(text: str, source: str) -> str:
    if not text.startswith(("postgresql://", "postgres://", "sqlite:///")):
        raise ConfigError(f"{source}: must hold a URL that starts with postgresql://, postgres:// or sqlite:///")
    return text
