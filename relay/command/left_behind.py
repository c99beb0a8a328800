"""Processes of the command that go on after its end: they lose their network, and are named.

With --strict they end with it, for their init does; so they do where keepline is the first process
of a container.
"""

import socket
from collections.abc import Sequence
from typing import Final

import trio

from netns.process.members import members
from relay.barrier import Record, contained

_JUST_ENDING: Final = (0.02, 0.08)
"""Seconds between the looks at processes that may be about to end."""

_NAMED: Final = 3
"""Processes that are named at the end."""


async def look(inside: socket.socket, record: Record, init: int = 0) -> list[str]:
    """Return the processes that are left, each by name and pid, but for those just ending.

    `inside` is a socket of their namespace, and `init` the first of its processes, if that is ours.
    """
    found: list[str] = []
    with contained(record, "look at the processes left"):
        for pause in (0, *_JUST_ENDING):
            await trio.sleep(pause)
            found = [str(process) for process in members(inside) if process.pid != init]
            if not found:
                break
    return found


def told(found: Sequence[str], *, are_ended: bool) -> str:
    """Return what has lost its network, or has ended with the command, and what would keep it."""
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    fate = "ended with the command" if are_ended else "without a network from now on"
    return (
        f"left behind, {fate}: {', '.join(found[:_NAMED])}{more};"
        " to stay until they have ended: keepline run --linger"
    )
