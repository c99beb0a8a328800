"""What both forms of the proxy do while they serve, and say of it in the record."""

import contextlib
import signal

import trio

from netns import syscalls
from netns.sandbox import Ended
from relay import relaying, server, startup
from relay.command import waiting
from relay.command.passing import Passing
from relay.record.flightlog import FlightLog


def hidden() -> None:
    """Let no other process of the user look into this one, ptrace(2), where the kernel can."""
    with contextlib.suppress(OSError, AttributeError):
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)


async def until_end(
    relay: "server.Relay", passing: Passing, log: FlightLog
) -> tuple[Ended, list[str]]:
    """Relay until the command has ended, and deliver what it sent last."""
    startup.end()
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        relaying.start(nursery, relay, log)
        ended = await waiting.command_end(passing, log.record)
        if relay.settings.linger:
            await waiting.orphans_end(passing, log.record)
        await relaying.deliver_last_words(relay, passing, ended)
        nursery.cancel_scope.cancel()
    return ended, relaying.end(relay, ended.status, began)


async def until_told(relay: "server.Relay", log: FlightLog, *ending: signal.Signals) -> list[str]:
    """Relay until one of the signals comes, and deliver what was sent last; a second ends that.

    As the first process it has blocked them, relay/command/first.py, until they are read here.
    """
    startup.end()
    began = trio.current_time()
    with trio.open_signal_receiver(*ending) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ending)
        async with trio.open_nursery() as nursery:
            relaying.start(nursery, relay, log)
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
    return relaying.end(relay, 0, began)
