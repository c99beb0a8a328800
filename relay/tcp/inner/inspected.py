"""A pump whose program's first bytes are judged before they go on; inspection.py says how.

What is held is not counted as said: upstream has not seen it. The other direction runs meanwhile.
"""

import errno
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from relay.outbound.opener import Opened
from relay.policy.verdicts import Deny
from relay.record.kinds import Kind
from relay.tcp.inner.inspection import Inspection, RefusedError
from relay.tcp.transfer import pump, urgent
from relay.tcp.transfer.pair import Outcome, Side
from relay.tcp.transfer.pipes import Pipe
from relay.tcp.transfer.pump import Pump, Redial

_PIECE: Final = 64 * 1024
"""Bytes that are read at once; with those that are held they fit into the shared buffer."""


class InspectedPump(Pump):
    """Resets both sides where what the program asks for is denied."""

    def __init__(
        self,
        program: socket.socket,
        upstream: Opened,
        redial: Redial,
        inspection: Inspection,
        refused: Callable[[Deny, str], None],
    ) -> None:
        """Take both sockets over; a denial goes to `refused`, with the name that is denied."""
        super().__init__(program, upstream, redial)
        self._inspection = inspection
        self._refused = refused

    def readable(self, source: Side) -> Awaitable[None]:
        """Return what waits until a side has something to read, or what is held is late."""
        deadline = self._inspection.deadline if source is self.program else None
        if deadline is None:
            return super().readable(source)
        return _readable_until(source.sock, deadline)

    def read(self, source: Side, pipe: Pipe | None) -> int:
        """Take what the source has, if it may go on; raises BlockingIOError if that is to be seen.

        Raises PermissionError once it may not.
        """
        if not self._inspection.is_open:
            return super().read(source, pipe)
        if source is not self.program:
            count = super().read(source, pipe)
            if count:
                self._inspection.server_speaks()
            return count
        try:
            passed = self._judged(source)
        except RefusedError as refusal:
            self._refused(refusal.denied, refusal.inner)
            cause = refusal.denied.rule
            self.outcome = Outcome("keepline", "reset", cause, Kind.POLICY)
            raise PermissionError(errno.EACCES, cause) from None
        pump.buffer[: len(passed)] = passed
        return len(passed)

    def _judged(self, source: Side) -> bytes:
        """Return what may go on, nothing at the program's end; raises RefusedError and OSError."""
        inspection, now, sock = self._inspection, trio.current_time(), source.sock
        try:
            source.is_urgent = urgent.Seen.yet and urgent.is_next(sock)
            data = sock.recv(1 if source.is_urgent else _PIECE)
        except BlockingIOError:
            if inspection.deadline is not None and now >= inspection.deadline:
                inspection.is_late()
            raise
        if not data:
            inspection.ended()
            return b""
        passed = inspection.received(data, now, is_urgent=source.is_urgent)
        if not passed:
            raise BlockingIOError
        return passed


async def _readable_until(sock: socket.socket, deadline: float) -> None:
    with trio.move_on_at(deadline):
        await trio.lowlevel.wait_readable(sock)
