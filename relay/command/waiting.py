"""What a session waits for: the command's end, that of what it leaves, and who asks to end.

Only the command's end ends the session, so no wait ends by a fault: it is recorded, and a moment
later the wait goes on.
"""

import os
import signal
from typing import Final

import trio

from netns.sandbox import Ended, Stopped, orphans_left
from relay.barrier import Record, contained
from relay.command.passing import Passing

_ENDING: Final = frozenset({signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP})
"""They end the delivery of last words, and the wait for processes left behind."""

_LOOK_AGAIN: Final = 0.1
"""Seconds before a look, or a wait for signals, that has failed is made again."""


async def cancelled_by(passing: Passing, scope: "trio.CancelScope", record: Record) -> None:
    """Cancel when a signal asks to end; Ctrl-Z stops us alone, for the command has ended."""
    while not (came := await _signals(passing, record)) & _ENDING:
        if signal.SIGTSTP in came:
            with contained(record, "stop"):
                os.kill(os.getpid(), signal.SIGSTOP)
    scope.cancel()


async def _signals(passing: Passing, record: Record) -> set[int]:
    """Wait for signals, pass them on, and return which came.

    A fault ends this wait alone, and none are returned, a moment later: a call that goes on failing
    must not keep the processor busy. What was to be read waits in the kernel; in case it was read
    before the fault, the caller asks again what the signals would have told.
    """
    with contained(record, "signal"):
        return await passing.receive(record)
    await trio.sleep(_LOOK_AGAIN)
    return set()


async def command_end(passing: Passing, record: Record) -> Ended:
    """Pass signals on, and stop with the command, until it has ended; return how it did.

    After a fault, what became of the command is asked again: the signal that told of it may be the
    last one.
    """
    while True:
        news: Ended | Stopped | None = None
        with contained(record, "look at the command") as look:
            news = passing.sandbox.poll()
        if look.failed:
            await trio.sleep(_LOOK_AGAIN)
            continue
        match news:
            case Ended():
                passing.end()
                return news
            case Stopped():
                with contained(record, "stop"):
                    _stop_too()
            case None:
                await _signals(passing, record)


def _stop_too() -> None:
    """Let the shell see its job stopped; when it goes on, its SIGCONT is passed on if need be.

    Without a terminal no shell waits for that, and whoever stopped the command continues it.
    """
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return
    os.kill(os.getpid(), signal.SIGSTOP)


async def orphans_end(passing: Passing, record: Record, ours: int = 0) -> None:
    """Wait until no process of the namespace is left but `ours`; TERM and the like end the wait."""
    while True:
        are_left = True
        with contained(record, "look at the processes left") as look:
            are_left = orphans_left(ours)
        if look.failed:
            await trio.sleep(_LOOK_AGAIN)
        elif not are_left or await _signals(passing, record) & _ENDING:
            return
