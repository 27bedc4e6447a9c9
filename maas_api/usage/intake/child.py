"""The process that takes batches in for one worker, whose interpreter has nothing to do with them.

It is started by :mod:`maas_api.usage.intake.apart`, which it talks to over the socket that is its standard input, and
ends when that is closed: with the worker, however that ends.
"""

from __future__ import annotations

import gc
import os
import signal
import threading
from multiprocessing.connection import Connection
from typing import Final

from maas_api.store.database import open_database
from maas_api.usage import otlp
from maas_api.usage.intake.batch import Intake
from maas_api.usage.intake.messages import READY, Batch, Failed, Malformed, Order, Outcome
from maas_api.usage.intake.together import Together
from maas_api.usage.otlp import OtlpError
from maas_api.usage.prices import NO_PRICES, PriceBook
from maas_api.usage.rollup import Folded
from maas_api.usage.statements.ledger import Ledger

_NICE: Final = 5


def main() -> None:
    """Take batches in until nobody is there to send any."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # the worker is told as well, and answers first what it has begun
    # Counting can wait, validations cannot: whatever else wants the processor has it at once. A lower priority alone
    # would let this process end its turn first.
    try:
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    except (AttributeError, OSError):  # not Linux, or a sandbox that does not let it
        os.nice(_NICE)
    talk(Connection(os.dup(0)))


def talk(line: Connection) -> None:
    """Read an order, then books of prices and batches; answer each batch."""
    order: Order = line.recv()
    database = open_database(order.url, max_open=1, max_idle=1)
    books = [NO_PRICES]
    intake = Intake(Ledger(database, order.tenant, keep=order.keep), lambda: books[0])
    answering = threading.Lock()

    def answer(number: int, outcome: Outcome) -> None:
        try:
            with answering:
                line.send((number, outcome))
        except OSError:  # nobody is there any more: the batch is sent again, and known
            return

    otlp.reply()  # loads what reads the batches
    gc.collect()
    gc.freeze()
    together = Together(intake, answer)
    try:
        line.send(READY)
        while True:
            said: Batch | PriceBook = line.recv()
            if isinstance(said, PriceBook):
                books[0] = said
                continue
            read = _read(intake, said)
            if isinstance(read, Folded):
                together.put(said.number, read)
            else:
                answer(said.number, read)
    except (EOFError, OSError):
        pass
    finally:  # whatever ended it: its thread would keep the process for ever
        together.stop()
        database.stop()


def _read(intake: Intake, batch: Batch) -> Folded | Malformed | Failed:
    try:
        return intake.read(batch.body, batch.encoding)
    except OtlpError as fault:
        return Malformed(str(fault))
    except Exception as fault:  # a fault of ours: whoever waits is told, by its name alone
        return Failed(type(fault).__name__)


if __name__ == "__main__":
    main()
