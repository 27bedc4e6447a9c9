"""Request bodies of the key endpoints: their shape, checked field by field. What the values may be is policy's."""

from __future__ import annotations

from marshmallow import EXCLUDE, Schema, fields

from maas_api.keys.http import json_types
from maas_api.keys.statements import search

# Attributes are named as on the wire.
# ruff: noqa: N815


class MintBody(json_types.StrictSchema):
    """``POST /v1/api-keys``. To ignore a misspelt ``models`` or ``expiresIn`` would make a key that opens everything
    for ninety days. ``MintBody(unknown=EXCLUDE)`` ignores what it does not know, as the Go service does."""

    name = json_types.Text(load_default="")
    description = json_types.Text(load_default="")
    subscription = json_types.Text(load_default="")
    expiresIn = fields.Raw(load_default=None)
    ephemeral = json_types.Flag(load_default=False)
    labels = json_types.TextMap(load_default=dict)
    models = json_types.Texts(load_default=None)
    budget = fields.Raw(load_default=None)


class BudgetBody(json_types.StrictSchema):
    """``PUT /v1/api-keys/{id}/budget``."""

    budget = fields.Raw(required=True)


class FiltersBody(json_types.StrictSchema):
    """``filters`` of a search. To ignore a filter that does not exist would find too much."""

    username = json_types.PlainText(load_default="")
    status = json_types.Texts(load_default=list)
    subscription = json_types.PlainText(load_default="")
    includeEphemeral = json_types.Flag(load_default=False)
    labelsContain = json_types.TextMap(load_default=dict)
    nameContains = json_types.PlainText(load_default="")
    descriptionContains = json_types.PlainText(load_default="")
    createdAfter = json_types.Instant(load_default=None)
    createdBefore = json_types.Instant(load_default=None)
    expiresAfter = json_types.Instant(load_default=None)
    expiresBefore = json_types.Instant(load_default=None)
    lastUsedAfter = json_types.Instant(load_default=None)
    lastUsedBefore = json_types.Instant(load_default=None)
    hasExpiration = json_types.Flag(load_default=None)
    hasBeenUsed = json_types.Flag(load_default=None)


class SortBody(json_types.StrictSchema):
    """``sort`` of a search."""

    by = json_types.Text(load_default="")
    order = json_types.Text(load_default="")


class PaginationBody(json_types.StrictSchema):
    """``pagination`` of a search."""

    limit = json_types.Whole(load_default=search.DEFAULT_LIMIT)
    offset = json_types.Whole(load_default=0)


class SearchBody(json_types.StrictSchema):
    """``POST /v1/api-keys/search``."""

    filters = json_types.Nested(FiltersBody())
    sort = json_types.Nested(SortBody())
    pagination = json_types.Nested(PaginationBody())


class BulkRevokeBody(Schema):
    """``POST /v1/api-keys/bulk-revoke``."""

    class Meta:
        """The Go service ignores what it does not know."""

        unknown = EXCLUDE

    username = json_types.PlainText(load_default="")
    subscription = json_types.PlainText(load_default="")
    dryRun = json_types.Flag(load_default=False)


class RotateBody(json_types.StrictSchema):
    """``POST /v1/api-keys/{id}/rotate``. To ignore a misspelt grace would cut the old secret off at once."""

    graceSeconds = json_types.Whole(load_default=0)
