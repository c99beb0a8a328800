"""The end of a pod's relay: SIGTERM drains, a second one ends it; as the first process it reaps.

The containers of a pod get SIGTERM at the same time, but for a native sidecar, which gets it when
the others have ended. So connections go on, and new ones are relayed, until none has been there for
QUIET seconds, or the time is over: what ends at the same time may still send its last words.
"""

import os
import signal
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import trio

from netns.process.waited import is_first_process
from relay.barrier import Record, contained
from relay.command.signals import Signals, heeded

QUIET: Final = 1.0
"""Seconds without a connection after which nobody is taken to need the relay any more."""

_LOOK: Final = 0.1
"""Seconds between two looks."""


class Ending:
    """What has been sent to the relay so far."""

    def __init__(self, signals: Signals, record: Record) -> None:
        self._signals = signals
        self._record = record
        self._asking_to_end = heeded((signal.SIGTERM, signal.SIGINT))
        self.has_begun = trio.Event()
        """Set by the first SIGTERM or SIGINT."""
        self.is_at_once = trio.Event()
        """Set by the second."""

    async def watch(self) -> None:
        """Act on signals until cancelled; those without a meaning here are read, and no more."""
        while True:
            for sent in await self._signals.receive():
                with contained(self._record, "signal"):
                    if sent.number in self._asking_to_end:
                        (self.is_at_once if self.has_begun.is_set() else self.has_begun).set()
                    elif sent.number == signal.SIGCHLD and is_first_process():
                        reap()

    async def wait(self, seconds: float, live: Callable[[], int]) -> None:
        """Return when it is time to end: `seconds` after the first signal at most.

        `live` returns how many connections there are.
        """
        await self.has_begun.wait()
        with trio.move_on_after(seconds):
            await self.unless_at_once(partial(_quiet, live))

    async def unless_at_once(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the last work, and break it off at the second signal."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_at_once, nursery.cancel_scope)
            await work()
            nursery.cancel_scope.cancel()

    async def _cancel_at_once(self, scope: trio.CancelScope) -> None:
        await self.is_at_once.wait()
        scope.cancel()


async def _quiet(live: Callable[[], int]) -> None:
    """Return once there has been no connection for QUIET seconds."""
    since = trio.current_time()
    while trio.current_time() - since < QUIET:
        await trio.sleep(_LOOK)
        if live():
            since = trio.current_time()


def reap() -> None:
    """Take note of all children that have ended, whoever's they were."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return
