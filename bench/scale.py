"""The lookup's time in a table of a thousand rows and in one of a million."""

from __future__ import annotations

import random
import tempfile
import time
from pathlib import Path

from bench import stores
from bench.machine import percentile, table
from maas_api.keys.format import hash_key
from maas_api.store.database import lookup_database
from maas_api.validation.reader import KeyReader

TENANT = "models-as-a-service"


def run(*, quick: bool) -> None:
    """Measure in turns, so that whatever else the machine does meets both tables."""
    sizes = (1_000, 20_000 if quick else 1_000_000)
    samples = 300 if quick else 5_000
    with stores.postgres() as server, tempfile.TemporaryDirectory() as folder:
        sides: list[tuple[int, KeyReader, list[str], list[float]]] = []
        for size in sizes:
            url, keys = server.migrated(), Path(folder) / str(size)
            stores.fill(url, size, keys, known=1_000)
            hashes = [hash_key(line) or "" for line in keys.read_text().split()]
            sides.append((size, KeyReader(lookup_database(url, 5.0), TENANT), hashes, []))
        for number in range(samples + 100):
            for _size, reader, hashes, took in sides:
                wanted = random.choice(hashes)
                begun = time.perf_counter()
                assert reader.fetch([wanted])[wanted].valid
                if number >= 100:
                    took.append(time.perf_counter() - begun)
        for _size, reader, _hashes, _took in sides:
            reader.close()
    print(f"\nOne lookup, {samples:,} samples a side, in turns\n")
    first = percentile(sides[0][3], 50)
    table(
        ("rows", "p50 ms", "p99 ms", "ratio of p50"),
        [
            (
                f"{size:,}",
                f"{percentile(took, 50) * 1e3:.3f}",
                f"{percentile(took, 99) * 1e3:.3f}",
                f"{percentile(took, 50) / first:.2f}",
            )
            for size, _reader, _hashes, took in sides
        ],
    )
