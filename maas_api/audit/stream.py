"""Records as JSON lines in a file, with real names, for whoever collects them. Appended after the commit."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from maas_api.audit.encoding import as_json
from maas_api.audit.record import Entry
from maas_api.errors import encode
from maas_api.observability import metrics

_log = logging.getLogger(__name__)


class LineFile:
    """Appends a line a record. Opened for each, so that it may be moved away at any time; made with mode 0600."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lost = False

    def __call__(self, entry: Entry) -> None:
        """Append. The store has the record, so a line that cannot be written is counted and said once."""
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, encode(as_json(entry)) + b"\n")  # one write: lines of several workers stay whole
            finally:
                os.close(descriptor)
        except OSError as fault:
            metrics.audit_lines_lost.inc()
            if not self._lost:
                _log.warning("audit lines are lost, the store has the records", extra={"fault": str(fault)})
            self._lost = True
            return
        self._lost = False
