"""Alembic's environment: always the connection that :mod:`maas_api.migrations` hands over, never a URL."""

from alembic import context

from maas_api.migrations import VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    transactional_ddl=True,
    transaction_per_migration=False,
)
context.run_migrations()
