"""An access line's text.

With every request logged this is what logging costs, so the line is put together from pieces that are ready: constants
of the installation, one of 64 texts for the headers that came, the second's date. What a caller chose passes the
redactor, as in every line; here piece by piece, because the constants around it need no looking through.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Final

from maas_api.observability.redaction import REDACTOR, Redactor
from maas_api.observability.requests import MESSAGE, Access, Recorder, auth_headers

_CALLER: Final = f"observability/requests.py:{Recorder.line.__code__.co_firstlineno}"
_ALIKE: Final = f',"caller":"{_CALLER}","message":"{MESSAGE}"'


class AccessLines:
    """Makes the JSON line of an access without a fault, the same as the log's own formatter would.

    ``fields``: see ``Recorder``. ``paths``: those of the service's own of which a caller chooses no part.
    """

    def __init__(self, fields: Mapping[str, str], paths: Iterable[str] = (), redactor: Redactor = REDACTOR) -> None:
        self._redactor = redactor
        told = {name: redactor.value(value, name) for name, value in fields.items()}
        self._constant = "".join([f',"{name}":{_text(value)}' for name, value in told.items()])
        self._paths = {path: _text(path) for path in paths}
        self._second, self._date = -1, ""

    def line(self, access: Access) -> str:
        """The line, its end included. For one thread, or for the event loop."""
        moment, method, path, status, _seconds, client, request_id, trace_id, noted = access
        second = int(moment)
        if second != self._second:
            self._second, self._date = second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        redacted = self._redactor.text
        target = self._paths.get(path) or _text(redacted(path))
        trace = f',"trace_id":{_text(redacted(trace_id))}' if trace_id else ""
        return (
            f'{{"level":"info","timestamp":"{self._date}.{int((moment - second) * 1000):03d}Z"{_ALIKE}'
            f',"request_id":{_text(redacted(request_id))}{trace}'
            f',"method":{_text(method)},"path":{target}'
            f',"status":{status},"latency_ms":{access.milliseconds}'
            f',"client_ip":{_text(client)}{self._constant}'
            f',"auth_headers":{_headers(noted)}}}\n'
        )


_text = encode_basestring


@lru_cache(maxsize=64)
def _headers(noted: int) -> str:
    return json.dumps(auth_headers(noted), separators=(",", ":"))
