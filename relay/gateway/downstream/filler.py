"""What keeps a program patient while its answer is held back: the stream's head, then filler."""

from collections.abc import Callable
from typing import Final

import trio

from relay.gateway.dialect import Dialect
from relay.gateway.downstream.connection import Downstream
from relay.gateway.streams import quiet

HEAD_WAITS: Final = 0.005
"""Seconds that a stream's head waits for its first content: one write wakes the program once."""


async def keep_patient(
    downstream: Downstream, dialect: Dialect, is_wanted: Callable[[], bool]
) -> None:
    """Write a stream's head, and filler for the program's timeouts while `is_wanted`.

    It runs beside the tries until the exchange ends. Content may come in before filler does, in the
    pause or while insert() waits for the lock of the connection: the first moves `written`, so that
    nothing is due, and the second is what `is_wanted` is asked about.
    """
    await trio.sleep(HEAD_WAITS)
    await downstream.flush()
    while True:
        await quiet(lambda: downstream.written, dialect.filler_interval)
        await downstream.insert(dialect.filler, if_wanted=is_wanted)
