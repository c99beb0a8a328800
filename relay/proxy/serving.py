"""What both forms of the proxy do while they serve, and say of it in the record."""

import contextlib
import signal
from functools import partial
from typing import Final

import trio

from netns import syscalls
from netns.sandbox import Ended
from relay import server, startup
from relay.barrier import kept_running
from relay.command import waiting
from relay.command.passing import Passing
from relay.record import writing
from relay.record.events import SessionEnded
from relay.record.flightlog import FlightLog

_SIGNALLED: Final = 128
_IN_HASTE: Final = 0.1
"""Seconds for last words where a signal ended the command."""


def hidden() -> None:
    """Let no other process of the user look into this one, ptrace(2), where the kernel can."""
    with contextlib.suppress(OSError, AttributeError):
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)


def start(nursery: trio.Nursery, relay: "server.Relay", log: FlightLog) -> None:
    """Relay and record until the nursery is cancelled."""
    writer = partial(writing.write_log, log)
    nursery.start_soon(kept_running, log.record, "writer of the log", writer)
    nursery.start_soon(kept_running, log.record, "relay", relay.serve)


def end(relay: "server.Relay", log: FlightLog, status: int, began: float) -> list[str]:
    """Record the end; return what is to be said."""
    seconds = trio.current_time() - began
    log.record(SessionEnded(status=status, connections=relay.standing.opened, seconds=seconds))
    return relay.tightening.notes


async def until_end(
    relay: "server.Relay", passing: Passing, log: FlightLog
) -> tuple[Ended, list[str]]:
    """Relay until the command has ended, and deliver what it sent last."""
    startup.end()
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        start(nursery, relay, log)
        ended = await waiting.command_end(passing, log.record)
        if relay.settings.linger:
            await waiting.orphans_end(passing, log.record)
        with trio.CancelScope() as scope:
            if _SIGNALLED < ended.status <= _SIGNALLED + signal.NSIG:
                scope.deadline = trio.current_time() + _IN_HASTE
            async with trio.open_nursery() as last:
                last.start_soon(waiting.cancelled_by, passing, scope, log.record)
                await relay.finish()
                last.cancel_scope.cancel()
        nursery.cancel_scope.cancel()
    return ended, end(relay, log, ended.status, began)


async def until_told(relay: "server.Relay", log: FlightLog, *ending: signal.Signals) -> list[str]:
    """Relay until one of the signals comes, and deliver what was sent last; a second ends that.

    As the first process it has blocked them, relay/command/first.py, until they are read here.
    """
    startup.end()
    began = trio.current_time()
    with trio.open_signal_receiver(*ending) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ending)
        async with trio.open_nursery() as nursery:
            start(nursery, relay, log)
            await anext(signals)
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as last:

                    async def end_at_the_second() -> None:
                        await anext(signals)
                        scope.cancel()

                    last.start_soon(end_at_the_second)
                    await relay.finish()
                    last.cancel_scope.cancel()
            nursery.cancel_scope.cancel()
    return end(relay, log, 0, began)
