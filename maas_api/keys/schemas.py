"""Request bodies of the key endpoints: their shape, checked field by field. What the values may be is policy's."""

from __future__ import annotations

from marshmallow import EXCLUDE, Schema, fields

from maas_api.keys import search, shapes

# Attributes are named as on the wire.
# ruff: noqa: N815


class MintBody(Schema):
    """``POST /v1/api-keys``."""

    class Meta:
        """The Go service ignores what it does not know."""

        unknown = EXCLUDE

    name = shapes.Text(load_default="")
    description = shapes.Text(load_default="")
    subscription = shapes.Text(load_default="")
    expiresIn = fields.Raw(load_default=None)
    ephemeral = shapes.Flag(load_default=False)
    labels = shapes.TextMap(load_default=dict)
    models = shapes.Texts(load_default=None)


class FiltersBody(shapes.StrictSchema):
    """``filters`` of a search. To ignore a filter that does not exist would find too much."""

    username = shapes.PlainText(load_default="")
    status = shapes.Texts(load_default=list)
    subscription = shapes.PlainText(load_default="")
    includeEphemeral = shapes.Flag(load_default=False)
    labelsContain = shapes.TextMap(load_default=dict)
    nameContains = shapes.PlainText(load_default="")
    descriptionContains = shapes.PlainText(load_default="")
    createdAfter = shapes.Instant(load_default=None)
    createdBefore = shapes.Instant(load_default=None)
    expiresAfter = shapes.Instant(load_default=None)
    expiresBefore = shapes.Instant(load_default=None)
    lastUsedAfter = shapes.Instant(load_default=None)
    lastUsedBefore = shapes.Instant(load_default=None)
    hasExpiration = shapes.Flag(load_default=None)
    hasBeenUsed = shapes.Flag(load_default=None)


class SortBody(shapes.StrictSchema):
    """``sort`` of a search."""

    by = shapes.Text(load_default="")
    order = shapes.Text(load_default="")


class PaginationBody(shapes.StrictSchema):
    """``pagination`` of a search."""

    limit = shapes.Whole(load_default=search.DEFAULT_LIMIT)
    offset = shapes.Whole(load_default=0)


class SearchBody(shapes.StrictSchema):
    """``POST /v1/api-keys/search``."""

    filters = shapes.Nested(FiltersBody())
    sort = shapes.Nested(SortBody())
    pagination = shapes.Nested(PaginationBody())


class BulkRevokeBody(Schema):
    """``POST /v1/api-keys/bulk-revoke``."""

    class Meta:
        """The Go service ignores what it does not know."""

        unknown = EXCLUDE

    username = shapes.PlainText(load_default="")
    subscription = shapes.PlainText(load_default="")
    dryRun = shapes.Flag(load_default=False)


class RotateBody(shapes.StrictSchema):
    """``POST /v1/api-keys/{id}/rotate``. To ignore a misspelt grace would cut the old secret off at once."""

    graceSeconds = shapes.Whole(load_default=0)
