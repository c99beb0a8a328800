"""The TCP connection of a program, which notes how it was lost."""

import socket

import trio

from relay.record.events import Closer, How
from relay.record.kinds import Kind, kind_of
from relay.sockets import PEER_GONE


class ProgramStream(trio.abc.Stream):
    """The bytes of a connection, under TLS if there is any."""

    def __init__(self, sock: socket.socket) -> None:
        """Take a connected, non-blocking socket over."""
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._loss: OSError | None = None

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send; raises BrokenResourceError."""
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError as error:
            self._note(error.__cause__)
            raise

    async def wait_send_all_might_not_block(self) -> None:
        """See trio.abc.SendStream."""
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Receive; raises BrokenResourceError."""
        try:
            return bytes(await self._stream.receive_some(max_bytes))
        except trio.BrokenResourceError as error:
            self._note(error.__cause__)
            raise

    async def speaks(self) -> bool:
        """Wait for the first byte, which stays unread; return False at an end or a loss."""
        try:
            return bool(await self._stream.socket.recv(1, socket.MSG_PEEK))
        except OSError as error:
            self._note(error)
            return False

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
