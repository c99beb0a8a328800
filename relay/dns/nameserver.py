"""The namespace's only name server: UDP and TCP on every address that the program may ask.

Nothing that the program sends ends the server: it costs at most its own answer or connection.
"""

import contextlib
import errno
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

import trio

from relay.addresses import Endpoint
from relay.barrier import Record, contained, kept_running, note
from relay.dns import messages
from relay.dns.bounds.callers import Caller, Callers
from relay.dns.bounds.places import MOST, Places
from relay.dns.bounds.zones import zone_of
from relay.dns.framing import FrameError, Unframer, frame, is_error, servfail, truncated
from relay.dns.insistence import Insistence
from relay.dns.messages import Query, QueryError
from relay.dns.responder import Responder
from relay.inbound.accepting import Acceptor
from relay.record.events import NamesBounded, TurnedAway
from relay.record.kinds import Kind
from relay.record.repeats import is_told
from relay.sockets import PEER_GONE

IDLE_SECONDS = 30.0
"""For the next query to come, and for an answer to be read; RFC 7766 section 6.2.3."""

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
        errno.EINVAL,  # the program sent from port 0, to which nothing can be sent
        errno.ENOBUFS,
        errno.ENOMEM,
    }
)

MAX_WAITING = 8192
"""Datagrams that are read and not yet looked at. Beyond, the kernel drops them."""

Datagram: TypeAlias = tuple[bytes, list[tuple[int, int, bytes]], int, Any]
"""What recvmsg(2) returns."""

Reply = Callable[[bytes], Awaitable[None]]


class NameServer:
    """Serves one UDP and one TCP socket.

    Each lookup takes a place, and never waits for one: where none is left for its zone, it is
    answered at once, by what is known of old (RFC 8767) or SERVFAIL. The place is given back by the
    task that was started with it, which runs up to its first checkpoint even if its nursery is
    being cancelled; between the place that is taken and the start of the task no other task runs.

    A fault ends one question, which is answered SERVFAIL, or one connection.
    """

    def __init__(self, responder: Responder, record: Record, most: int = MOST) -> None:
        """Take what answers; `most` lookups may be under way at a time."""
        self._responder = responder
        self._record = record
        self._places = Places(most)
        self.callers = Callers()
        self._insistence = Insistence()
        self._turned_away = 0

    async def serve(self, udp: socket.socket, tcp: socket.socket) -> None:
        """Answer until cancelled; whoever owns the sockets closes them.

        They are non-blocking: a UDP socket with IP_PKTINFO set, and a listening TCP socket.
        """
        acceptor = Acceptor(tcp, "the name server", self._record)
        async with trio.open_nursery() as nursery:

            def take(accepted: socket.socket, _source: Endpoint) -> None:
                stream = trio.SocketStream(trio.socket.from_stdlib_socket(accepted))
                nursery.start_soon(self._serve_connection, stream)

            over_tcp, over_udp = (
                partial(acceptor.serve, take),
                partial(self._serve_udp, udp, nursery),
            )
            nursery.start_soon(kept_running, self._record, "name server over TCP", over_tcp)
            await kept_running(self._record, "name server over UDP", over_udp)

    async def _serve_udp(self, udp: socket.socket, nursery: trio.Nursery) -> None:
        """Answer datagrams in their order.

        The socket is emptied before each of them: its buffer has room for few hundred, and whoever
        sends one that finds none asks again after half a minute (relay/host/resolv_conf.py).
        """
        sock, waiting = trio.socket.from_stdlib_socket(udp), deque[Datagram]()
        while True:
            with udp_errors_survived():
                if waiting:
                    await trio.lowlevel.checkpoint()
                else:
                    await trio.lowlevel.wait_readable(udp)
                _empty(udp, waiting)
            if waiting:
                wire, info, _, program = waiting.popleft()
                question = program, wire
                self._insistence.asked(question, trio.current_time())
                reply = partial(self._send, sock, info, question)
                await self._handle(wire, nursery, reply, tcp=False)

    async def _serve_connection(self, stream: trio.SocketStream) -> None:
        """Serve a connection to its end, or until it gives way to another, and close it."""
        scope = trio.CancelScope()
        caller = Caller(trio.current_time(), scope.cancel)
        if self.callers.add(caller):
            self._note_end()
        try:
            with scope, contained(self._record, "connection to the name server", saw="a reset"):
                await self._converse(stream, caller)
        finally:
            self.callers.discard(caller)
            await trio.aclose_forcefully(stream)

    def _note_end(self) -> None:
        """Record the first, the second, the fourth connection that gives way to another."""
        self._turned_away += 1
        count = self._turned_away
        if is_told(count):
            where, cause = "the name server", f"it serves {self.callers.most} at a time"
            self._record(TurnedAway(where=where, kind=Kind.BOUND, cause=cause, count=count))

    async def _converse(self, stream: trio.SocketStream, caller: Caller) -> None:
        """Answer queries in any order, those under way at the program's FIN too, RFC 7766.

        Many tasks send on the one stream. Each sends its frame whole while it holds the lock; one
        that is cut off in the middle, by the timeout or by a reset, fails, which ends all tasks of
        the connection before another can send behind half a frame.
        """
        unframer = Unframer()
        sending = trio.Lock()

        async def reply(answer: bytes) -> None:
            async with sending:
                with trio.fail_after(IDLE_SECONDS):
                    await stream.send_all(frame(answer))
            caller.since = trio.current_time()

        try:
            async with trio.open_nursery() as nursery:
                caller.is_busy = lambda: bool(nursery.child_tasks)
                while data := await _next(stream):
                    for wire in unframer.feed(data):
                        caller.since = trio.current_time()
                        await self._handle(wire, nursery, reply, tcp=True)
        except* (FrameError, trio.TooSlowError):
            pass  # the caller closes it
        except* trio.BrokenResourceError as losses:
            fault = losses.split(_is_programs_doing)[1]
            if fault is not None:
                note(self._record, "connection to the name server", fault, saw="a reset")

    async def _handle(self, wire: bytes, nursery: trio.Nursery, reply: Reply, *, tcp: bool) -> None:
        """Answer at once if possible, else in a task of its own."""
        query, answer = None, None
        with contained(self._record, "question", saw="SERVFAIL") as attempt:
            query, answer = self._at_once(wire, tcp=tcp)
            if query is not None and answer is None:
                bound = self._places.take(zone_of(query.name))
                if not bound:
                    nursery.start_soon(self._ask, query, wire, reply, tcp)
                    return
                answer = self._without_place(query, bound, tcp=tcp)
        if attempt.failed or (query is not None and answer is None):
            answer = servfail(wire)
        if answer is not None:
            await reply(answer)

    def _without_place(self, query: Query, bound: str, *, tcp: bool) -> bytes | None:
        """Answer by what is known of old, where there is no place for a lookup; None without it."""
        response = self._responder.last_known(query)
        if response is not None:
            return messages.to_wire(query, response, tcp=tcp)
        zone, cause = zone_of(query.name), f"too many at a time: {bound}"
        self._record(NamesBounded(zone=zone, kind=Kind.BOUND, cause=cause))
        return None

    def _at_once(self, wire: bytes, *, tcp: bool) -> tuple[Query | None, bytes | None]:
        """Return the query, if it is one, and its answer, if no resolver is to be asked for it."""
        try:
            query = messages.parse(wire)
        except QueryError as error:
            return None, error.response
        response = self._responder.at_once(query) if query is not None else None
        if query is None or response is None:
            return query, None
        return query, messages.to_wire(query, response, tcp=tcp)

    async def _ask(self, query: Query, wire: bytes, reply: Reply, tcp: bool) -> None:  # noqa: FBT001 - start_soon passes no keywords
        try:
            answer = None
            with contained(self._record, "question", saw="SERVFAIL") as attempt:
                answer = messages.to_wire(query, await self._responder.ask(query), tcp=tcp)
            if attempt.failed:
                answer = servfail(wire)
            if answer is not None:
                await reply(answer)
        finally:
            self._places.give_back(zone_of(query.name))

    async def _send(
        self,
        udp: trio.socket.SocketType,
        info: list[tuple[int, int, bytes]],
        question: tuple[object, bytes],
        answer: bytes,
    ) -> None:
        """Send an answer from the address that was asked.

        in_pktinfo.ipi_spec_dst is, when received, the local address that was asked and, when sent,
        the address to send from, ip(7): so it goes back as it came.
        """
        program, wire = question
        if is_error(answer) and self._insistence.refused(question, trio.current_time()):
            answer = truncated(wire)
        with contained(self._record, "answer"), udp_errors_survived():
            await udp.sendmsg([answer], info, 0, program)


def _empty(udp: socket.socket, waiting: deque[Datagram]) -> None:
    """Read what has come; raises OSError, for example what ICMP says of an answer."""
    with contextlib.suppress(BlockingIOError):
        while len(waiting) < MAX_WAITING:
            waiting.append(udp.recvmsg(MAX_QUERY_SIZE, PKTINFO_SPACE))


def _is_programs_doing(loss: BaseException) -> bool:
    """Return whether the program is gone; else the kernel has refused a call."""
    error = loss.__cause__
    return isinstance(error, OSError) and error.errno in PEER_GONE


async def _next(stream: trio.SocketStream) -> bytes:
    """Return the next bytes, none at the end or after the idle time."""
    with trio.move_on_after(IDLE_SECONDS):
        return bytes(await stream.receive_some(RECEIVE_SIZE))
    return b""


@contextmanager
def udp_errors_survived() -> Iterator[None]:
    """Suppress UDP_ERRORS, which cost a datagram each; all other errors are raised."""
    try:
        yield
    except OSError as error:
        if error.errno not in UDP_ERRORS:
            raise
