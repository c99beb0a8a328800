"""The writer of the flight log: in batches, and only when there is something to write."""

from collections.abc import Callable
from typing import Final, Protocol

import trio

_FLUSH_AFTER: Final = 0.2
"""Seconds for which events are gathered before they are written."""


class Log(Protocol):
    """What is written: a flight log, or the parts of one."""

    wake: Callable[[], None]
    """Called when there is something to flush."""

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to flush."""

    def flush(self) -> None:
        """Write what is pending."""


async def write_log(log: Log) -> None:
    """Write events in batches, soon after the first of each; no timer runs while none come.

    It may be called again after a fault, with what was recorded meanwhile.

    The event is made anew between the end of one wait and the sleep: what is recorded during the
    sleep sets the new one, so that at worst an empty batch is written and none is forgotten.
    """
    woken = trio.Event()

    def wake() -> None:
        woken.set()

    log.wake = wake
    if log.is_waiting:
        wake()
    while True:
        await woken.wait()
        woken = trio.Event()
        await trio.sleep(_FLUSH_AFTER)
        log.flush()
