"""Accepts connections: a fault costs the one that has it, and at the limit each is reset at once.

Without a spare descriptor they would wait in the backlog, accepted by the kernel and heard by
nobody, for as long as the limit lasts.
"""

import contextlib
import errno
import socket
from collections.abc import Callable
from typing import Final, TypeAlias

import trio

from relay.addresses import Endpoint
from relay.barrier import Record, contained
from relay.descriptors import SPARE
from relay.record.events import TurnedAway
from relay.record.kinds import Kind, kind_of
from relay.record.repeats import is_told
from relay.sockets import resets_on_close

PAUSE: Final = 0.1
"""Seconds to wait where not even a spare descriptor helps: the host has no memory left."""

Take: TypeAlias = Callable[[socket.socket, Endpoint], None]
"""Takes a connection over, non-blocking, and its other end."""


class Acceptor:
    """Accepts the connections of one listening socket."""

    def __init__(self, sock: socket.socket, where: str, record: Record) -> None:
        """Take a non-blocking socket, which its owner closes; `where` is for the record."""
        self._sock = sock
        self._where = where
        self._record = record
        self._turned_away = 0

    async def serve(self, take: Take) -> None:
        """Accept in batches until EAGAIN, until cancelled; raises OSError."""
        while True:
            try:
                self.take_waiting(take)
            except OSError as error:
                if kind_of(error) is not Kind.RESOURCES:
                    raise
                await trio.sleep(PAUSE)
            else:
                await trio.lowlevel.wait_readable(self._sock)

    def take_waiting(self, take: Take) -> None:
        """Accept every connection in the backlog; raises OSError, also if out of memory."""
        while True:
            try:
                sock, source = self._sock.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue  # reset while it waited in the backlog
            except OSError as error:
                if kind_of(error) is not Kind.RESOURCES:
                    raise
                if not self._turn_away(error):
                    return
                continue
            with contained(self._record, "accept", saw="a reset") as attempt:
                sock.setblocking(False)  # noqa: FBT003 - positional only
                take(sock, source[:2])  # IPv6 has flow and scope too
            if attempt.failed:
                _reset(sock)

    def _turn_away(self, limit: OSError) -> bool:
        """Reset the next connection in the backlog; return False if there is none.

        Raises OSError if even that cannot be had.
        """
        with SPARE.lent():
            try:
                sock, _source = self._sock.accept()
            except BlockingIOError:
                return False
            except ConnectionAbortedError:
                return True
            _reset(sock)
        self._turned_away += 1
        count = self._turned_away
        if is_told(count):
            cause, kind = limit.strerror or errno.errorcode[limit.errno or 0], kind_of(limit)
            self._record(TurnedAway(where=self._where, cause=cause, kind=kind, count=count))
        return True


def _reset(sock: socket.socket) -> None:
    """Close a connection by a reset."""
    with contextlib.suppress(OSError):  # it is gone already
        resets_on_close(sock)
    sock.close()
