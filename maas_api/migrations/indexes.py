"""Indexes on the Go service's table that are built without blocking it: (name, definition after the table's name).

The first is that service's own, which it too makes outside its migrations. The others serve a search over a whole
tenant, one for each order it can be read in; a search over one user's keys has the Go service's index already.
"""

POSTGRES = (
    ("idx_api_keys_labels_gin", "USING GIN (labels jsonb_path_ops)"),
    ("maas_api_keys_by_created", "(tenant, created_at DESC, id)"),
    ("maas_api_keys_by_created_up", "(tenant, created_at, id)"),
    ("maas_api_keys_by_name", "(tenant, name, id)"),
    ("maas_api_keys_by_name_down", "(tenant, name DESC, id)"),
    ("maas_api_keys_by_expires", "(tenant, expires_at, id)"),
    ("maas_api_keys_by_expires_down", "(tenant, expires_at DESC NULLS LAST, id)"),
    ("maas_api_keys_by_last_used", "(tenant, last_used_at, id)"),
    ("maas_api_keys_by_last_used_down", "(tenant, last_used_at DESC NULLS LAST, id)"),
)

# SQLite sorts NULLs before everything else: descending they are last by themselves, ascending they need a sort.
SQLITE = (
    ("maas_api_keys_by_created", "(tenant, created_at DESC, id)"),
    ("maas_api_keys_by_created_up", "(tenant, created_at, id)"),
    ("maas_api_keys_by_name", "(tenant, name, id)"),
    ("maas_api_keys_by_name_down", "(tenant, name DESC, id)"),
    ("maas_api_keys_by_expires_down", "(tenant, expires_at DESC, id)"),
    ("maas_api_keys_by_last_used_down", "(tenant, last_used_at DESC, id)"),
)
