"""Ports for what tests start: no two test processes of a user are given the same one."""

from __future__ import annotations

import fcntl
import itertools
import os
import socket
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

_FIRST: Final = 10_000
_BLOCK: Final = 100
_BLOCKS: Final = 100
"""Up to 20,000: below what systems hand out for outgoing connections, and below what ``maas-api demo`` takes."""


def free_port() -> int:
    """A loopback port that nobody listens on now, and that nobody else is given soon."""
    for port in itertools.islice(_ports(os.getpid()), 2 * _BLOCK):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError(f"no free port for tests in {_BLOCK} of {_FIRST} to {_FIRST + _BLOCK * _BLOCKS}")


@lru_cache(maxsize=1)
def _ports(process: int) -> Iterator[int]:
    """The ports of this process, round and round: one that was given out comes again when its test is long over."""
    folder = Path(tempfile.gettempdir()) / f"maas-test-ports-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    for block in range(_BLOCKS):
        number = (process + block) % _BLOCKS
        claim = os.open(folder / str(number), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held until the process ends
        except OSError:
            os.close(claim)
            continue
        first = _FIRST + number * _BLOCK
        return itertools.cycle(range(first, first + _BLOCK))
    raise AssertionError("every block of ports is taken by another test process")
