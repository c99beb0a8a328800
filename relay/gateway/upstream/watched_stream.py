"""The TCP connection under an upstream: notes when something was sent and when it answered."""

import contextlib
import errno
import math
import os
import re
import socket
import ssl
from collections.abc import Callable
from typing import Final

import trio

from relay.outbound.opener import Opened
from relay.outbound.standing import Watched
from relay.record.kinds import Kind, kind_of
from relay.sockets import resets_on_close
from relay.tls import was_cut

_PASSING: Final = frozenset(
    {
        "TLSV1_ALERT_INTERNAL_ERROR",
        "TLSV1_ALERT_USER_CANCELLED",
        *("SSLV3_ALERT_BAD_RECORD_MAC", "DECRYPTION_FAILED_OR_BAD_RECORD_MAC"),
        *("TLSV1_ALERT_DECRYPT_ERROR", "TLSV1_ALERT_DECODE_ERROR", "TLSV1_ALERT_RECORD_OVERFLOW"),
    }
)
"""OpenSSL's names for what may be otherwise next time: an error within the server, RFC 8446 section
6.2, or bytes that were damaged on the way. All others are about what both sides are and demand."""

_OF_CERTIFICATES: Final = re.compile("CERTIFICATE|_CA$|ACCESS_DENIED")
"""OpenSSL's names for alerts about our certificate, which TLS 1.3 sends after the handshake."""


class WatchedStream(trio.abc.Stream):
    """A connection of the gateway's own, as liveness watches it."""

    may_retire = False
    retire_after = math.inf

    def __init__(self, opened: Opened, number: int, standing: set[Watched]) -> None:
        """Take over a connected, non-blocking socket; it is among `standing` until it is closed."""
        self.number = number
        self.reached = opened.reached
        self.destination = opened.destination
        self.answered = self.opened = self._asked = trio.current_time()
        self.is_awaited: Callable[[], bool] = lambda: False
        """Whether an answer is to come, whatever was sent last; set by what speaks HTTP on it."""
        self.sent = self.received = 0
        self._sock = opened.sock
        self._carrier = opened.carrier or opened.sock
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(opened.sock))
        self._loss: OSError | None = None
        self._failure_of_tls = ""
        self._verdict: tuple[str, Kind] | None = None
        self._has_answered_inside = False
        self._ended = False
        self._standing = standing
        standing.add(self)

    @property
    def asked(self) -> float:
        """When something was last sent; later than any answer while one is still to come.

        HTTP/2 acknowledges settings and windows, so that what came last may be no answer.
        """
        if self.is_awaited():
            return max(self._asked, math.nextafter(self.answered, math.inf))
        return self._asked

    @property
    def sock(self) -> socket.socket | None:
        """The socket while it lives."""
        is_open = self._sock.fileno() != -1 and self._carrier.fileno() != -1
        return self._carrier if is_open and not self._ended else None

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send; raises BrokenResourceError."""
        self._asked = trio.current_time()
        self.sent += len(data)
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError as error:
            self._note_loss(error)
            self._cut()  # if the kernel has refused the call alone, it stands, and is no use
            raise

    async def wait_send_all_might_not_block(self) -> None:
        """See trio.abc.SendStream."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive; raises BrokenResourceError."""
        try:
            data = await self._stream.receive_some(max_bytes)
        except trio.BrokenResourceError as error:
            self._note_loss(error)
            raise
        self.answered = trio.current_time()
        self.received += len(data)
        self._ended = self._ended or not data
        return bytes(data)

    def _note_loss(self, error: trio.BrokenResourceError) -> None:
        if self._loss is None and isinstance(error.__cause__, OSError):
            self._loss = error.__cause__

    def note_end_of_tls(self, error: Exception, *, has_answered: bool = False) -> None:
        """Note that TLS over it failed, if it did: an alert, or no TLS at all.

        In TLS 1.3 the server's alert about our certificate, or about none, comes after the
        handshake has ended for us, RFC 8446 section 4.4.2.4: it is met by who reads first.
        `has_answered` is whether something has come through TLS before.
        """
        cause = error.__cause__
        if isinstance(cause, ssl.SSLError) and not was_cut(cause):
            self._failure_of_tls = cause.reason or "failed"
            self._has_answered_inside = has_answered

    def note_verdict(self, cause: str, kind: Kind) -> None:
        """Note that it is ended by us, for what has come on it."""
        self._verdict = cause, kind

    @property
    def will_end_so_again(self) -> bool:
        """Whether a new connection would end for the same reason."""
        name = self._failure_of_tls
        if not name or name in _PASSING:
            return False
        return not self._has_answered_inside or _OF_CERTIFICATES.search(name) is not None

    async def aclose(self) -> None:
        """Close."""
        self._standing.discard(self)
        await self._stream.aclose()

    def lose(self, error: OSError) -> None:
        """Treat the connection as lost, which the kernel has not noticed yet.

        The shutdown wakes the tasks that read and write: they may be in the middle of TLS, so that
        nothing else may touch the stream. They find the cause here, which was set before.
        """
        if self._loss is None and self.sock is not None:
            self._loss = error
            self._cut()

    def _cut(self) -> None:
        """Have whoever reads meet the end."""
        with contextlib.suppress(OSError):  # then a FIN is sent, to nobody
            resets_on_close(self._sock)
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # else the kernel has noticed the loss too
                trio.lowlevel.notify_closing(self._sock)

    def retire(self, cause: str) -> None:
        """Do nothing: it is never called, for the gateway keeps idle connections alive."""

    @property
    def cause(self) -> str:
        """How the connection ended, for people."""
        if self._verdict is not None:
            return self._verdict[0]
        if self._failure_of_tls:
            return f"TLS: {self._failure_of_tls.lower().replace('_', ' ')}"
        if self._loss is not None:
            return self._loss.strerror or os.strerror(self._loss.errno or 0)
        return "closed" if self._ended else "closed by TLS"

    @property
    def kind(self) -> Kind:
        """Return the kind of that cause."""
        if self._verdict is not None:
            return self._verdict[1]
        if self._failure_of_tls:
            return Kind.TLS
        return kind_of(self._loss) if self._loss is not None else Kind.CLOSED
