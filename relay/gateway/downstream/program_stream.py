"""The TCP connection of a program, which notes how it was lost."""

import math
import os
import socket

import trio

from relay.gateway.downstream.guests import Guest
from relay.record.events import Closer, How
from relay.record.kinds import Kind, kind_of
from relay.sockets import PEER_GONE, TCP_CLOSE_WAIT, pending_error, state
from relay.tcp.transfer.client_hello import LIMIT, First, Incomplete, read


class ProgramStream(trio.abc.Stream):
    """The bytes of a connection, under TLS if there is any."""

    def __init__(self, sock: socket.socket, guest: Guest) -> None:
        """Take a connected, non-blocking socket over."""
        self._guest = guest
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._sock = sock
        self._loss: OSError | None = None
        self._has_ended = False

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send; raises BrokenResourceError."""
        self._guest.taken = trio.current_time()
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError as error:
            self._note(error.__cause__)
            raise
        finally:
            self._guest.taken = math.inf

    async def wait_send_all_might_not_block(self) -> None:
        """See trio.abc.SendStream."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive; raises BrokenResourceError."""
        try:
            data = bytes(await self._stream.receive_some(max_bytes))
        except trio.BrokenResourceError as error:
            self._note(error.__cause__)
            raise
        self._has_ended |= not data
        return data

    async def first_word(self) -> First | None:
        """Wait for a ClientHello, or for what is none; None at an end or a loss. It stays unread.

        It may come in pieces: with post-quantum key shares it fills more than one segment. Those
        that are there would wake us for ever, so the kernel is told how many bytes are too few
        (SO_RCVLOWAT, socket(7)). A wake-up without more is the program's end.
        """
        sock, size = self._stream.socket, 0
        try:
            while True:
                data = await sock.recv(LIMIT, socket.MSG_PEEK)
                if len(data) == size:
                    if number := pending_error(self._sock):
                        raise OSError(number, os.strerror(number))  # noqa: TRY301 - as recv would
                    return None
                size, before = len(data), size
                first = read(data)
                if not isinstance(first, Incomplete) or size >= LIMIT:
                    break
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, size + 1)
                await trio.lowlevel.wait_readable(sock)
            if before:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        except OSError as error:
            self._note(error)
            return None
        return first

    @property
    def has_closed_by_fin(self) -> bool:
        """Whether the program has closed when it had all that was sent to it: nothing met a RST."""
        return self._has_ended and self._loss is None and state(self._sock) == TCP_CLOSE_WAIT

    @property
    def has_sent_close_notify(self) -> bool:
        """Whether a program that sends no more has ended TLS by a close_notify (RFC 8446, 6.1).

        No end of the connection below has been read then.
        """
        return self._loss is None and not self._has_ended

    async def aclose(self) -> None:
        """Close."""
        await self._stream.aclose()

    def _note(self, error: BaseException | None) -> None:
        if self._loss is None and isinstance(error, OSError):
            self._loss = error

    def end(self, *, aborted: bool) -> tuple[Closer, How, Kind, str | None]:
        """Return who ended the connection, how, and why, for the record."""
        loss = self._loss
        if loss is not None:
            closer: Closer = "program" if loss.errno in PEER_GONE else "keepline"
            return closer, "reset", kind_of(loss), loss.strerror
        if aborted:
            return "keepline", "reset", Kind.RESET, None
        return "program", "fin", Kind.CLOSED, None
