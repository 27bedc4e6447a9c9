"""Rows as CSV that a spreadsheet reads as text. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any


def written(header: Sequence[str], rows: Iterable[dict[str, Any]]) -> str:
    """CSV text with CRLF line ends."""
    text = io.StringIO()
    writer = csv.DictWriter(text, header, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def cell(value: str) -> str:
    """Text that a spreadsheet does not take for a formula: names of keys and models are other people's words."""
    return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
