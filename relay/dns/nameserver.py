"""The namespace's only name server: UDP and TCP on every address that the program may ask.

What the program sends can cost it its own answer or connection, never the server.
"""

import errno
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import trio

from relay.dns import messages
from relay.dns.framing import FrameError, Unframer, frame
from relay.dns.messages import Query, QueryError
from relay.dns.responder import Responder

MAX_QUERIES = 4096
"""Being looked up at once. Beyond, datagrams are dropped and connections not read."""

MAX_CONNECTIONS = 128
"""Beyond, a new connection is closed at once."""

IDLE_SECONDS = 30.0
"""For the next query to come, or for an answer to be taken; RFC 7766 section 6.2.3."""

MAX_QUERY_SIZE = 4096
RECEIVE_SIZE = 65536
IP_PKTINFO = 8
"""From <linux/in.h>; Python 3.11 has no name for it."""

PKTINFO_SPACE = socket.CMSG_SPACE(12)
"""For one struct in_pktinfo, ip(7)."""

UDP_ERRORS = frozenset(
    {
        errno.ECONNREFUSED,  # ICMP: the program closed its socket before our answer came
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EPERM,  # a firewall rule inside the namespace
        errno.EINVAL,  # nobody can be answered at port 0
        errno.ENOBUFS,
        errno.ENOMEM,
    }
)

Reply = Callable[[bytes], Awaitable[None]]


class NameServer:
    """Serves two sockets, which belong to it from here on."""

    def __init__(self, udp: socket.socket, tcp: socket.socket, responder: Responder) -> None:
        """Take a UDP socket with IP_PKTINFO set and a listening TCP socket, both non-blocking."""
        self._udp = trio.socket.from_stdlib_socket(udp)
        self._listener = trio.SocketListener(trio.socket.from_stdlib_socket(tcp))
        self._responder = responder
        self._slots = trio.Semaphore(MAX_QUERIES)
        self._connections = 0

    async def serve(self) -> None:
        """Answer until cancelled, then close the sockets."""
        with self._udp:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, self._serve_connection, [self._listener])
                await self._serve_udp(nursery)

    async def _serve_udp(self, nursery: trio.Nursery) -> None:
        while True:
            with _udp_errors_survived():
                wire, info, _, program = await self._udp.recvmsg(MAX_QUERY_SIZE, PKTINFO_SPACE)
                await self._handle(wire, nursery, partial(self._send, info, program), tcp=False)

    async def _send(
        self, info: list[tuple[int, int, bytes]], program: object, answer: bytes
    ) -> None:
        """Answer as the server that was asked.

        in_pktinfo.ipi_spec_dst is, when received, our address that was asked and, when sent,
        the address to send from, ip(7): so it goes back as it came.
        """
        with _udp_errors_survived():
            await self._udp.sendmsg([answer], info, 0, program)

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        if self._connections == MAX_CONNECTIONS:
            return
        self._connections += 1
        try:
            await self._converse(stream)
        except* (FrameError, trio.BrokenResourceError, trio.TooSlowError):
            pass  # closing it, as the caller does, is all the answer it needs
        finally:
            self._connections -= 1

    async def _converse(self, stream: trio.SocketStream) -> None:
        """Answer queries as they come, in any order; those under way at the end too: RFC 7766."""
        unframer = Unframer()
        sending = trio.Lock()

        async def reply(answer: bytes) -> None:
            async with sending:
                with trio.fail_after(IDLE_SECONDS):
                    await stream.send_all(frame(answer))

        async with trio.open_nursery() as nursery:
            while data := await _next(stream):
                for wire in unframer.feed(data):
                    await self._handle(wire, nursery, reply, tcp=True)

    async def _handle(self, wire: bytes, nursery: trio.Nursery, reply: Reply, *, tcp: bool) -> None:
        """Answer at once if possible; else in a task of its own."""
        try:
            query = messages.parse(wire)
        except QueryError as error:
            await reply(error.response)
            return
        if query is None:
            return
        response = self._responder.at_once(query)
        if response is not None:
            await reply(messages.to_wire(query, response, tcp=tcp))
            return
        if not tcp and self._slots.value == 0:
            return
        await self._slots.acquire()
        nursery.start_soon(self._ask, query, reply, tcp)

    async def _ask(self, query: Query, reply: Reply, tcp: bool) -> None:  # noqa: FBT001 - start_soon passes no keywords
        try:
            response = await self._responder.ask(query)
            await reply(messages.to_wire(query, response, tcp=tcp))
        finally:
            self._slots.release()


async def _next(stream: trio.SocketStream) -> bytes:
    """Give the next bytes, none at the end or after the idle time."""
    with trio.move_on_after(IDLE_SECONDS):
        return bytes(await stream.receive_some(RECEIVE_SIZE))
    return b""


@contextmanager
def _udp_errors_survived() -> Iterator[None]:
    """Let one datagram be lost instead of the server."""
    try:
        yield
    except OSError as error:
        if error.errno not in UDP_ERRORS:
            raise
