"""One connection from accept to close: destination, name, policy, dial, pump, record."""

import errno
import math
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, assert_never

import trio

from relay.addresses import Destination, Endpoint, is_dialable
from relay.inbound.tcp_table import closed_by_their_side
from relay.outbound.dialer import Dialer, DialError, Target
from relay.outbound.standing import Line
from relay.policy.rules import Allow, Deny, Policy
from relay.record.events import (
    ConnectionClosed,
    ConnectionDenied,
    ConnectionOpened,
    DialFailed,
    DialHeld,
    Dialled,
    Event,
    Replaying,
)
from relay.sockets import TCP_CLOSE_WAIT, TCP_ESTABLISHED, resets_on_close, state
from relay.tcp.transfer.pump import Pump

Intercept: TypeAlias = Literal["tproxy", "redirect", "ports"]

_SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h


class Naming(Protocol):
    """What a connection asks of the synthetic addresses."""

    def name_of(self, address: str) -> str | None:
        """Give the name that a synthetic address stands for."""

    def covers(self, address: str) -> bool:
        """Tell whether an address is in the synthetic range."""


class Gateway(Protocol):
    """What speaks HTTP for some destinations; see relay/gateway."""

    def origin_at(self, destination: Destination) -> Any:
        """Return the origin that it serves there, with its `destination`; None if none."""

    async def serve(self, program: socket.socket, number: int, origin: Any) -> None:
        """Serve an accepted connection to the end."""


@dataclass(kw_only=True)
class Connections:
    """All connections of a session, and what they share."""

    intercept: Intercept
    policy: Policy
    naming: Naming
    dialer: Dialer
    record: Callable[[Event], None]
    nursery: trio.Nursery
    opened: int = 0
    live: "set[Connection]" = field(default_factory=set)
    lines: set[Line] = field(default_factory=set)
    """Upstream connections that stand, the gateway's included."""
    gateway: Gateway | None = None
    ending: bool = False
    """Whether the command has ended."""
    _last_words: frozenset[tuple[Endpoint, Endpoint]] = frozenset()
    """Connections, as programs see them, that were closed with data still to come."""
    _idle: trio.Event = field(default_factory=trio.Event)

    def number(self) -> int:
        """Give the next connection its number."""
        self.opened += 1
        return self.opened

    def start(self, program: socket.socket) -> None:
        """Relay an accepted connection in a task of its own."""
        connection = Connection(self, self.number(), program)
        self.live.add(connection)
        self.nursery.start_soon(self._run, connection)

    async def _run(self, connection: "Connection") -> None:
        try:
            await connection.relay()
        finally:
            connection.program.close()
            self.live.discard(connection)
            self.lines.discard(connection)
            if not self.live:
                self._idle.set()

    def drop_vanished(self, addresses: frozenset[str]) -> None:
        """End upstream connections whose local address is not ours any more."""
        for line in tuple(self.lines):
            if line.sock is not None and line.sock.getsockname()[0] not in addresses:
                line.lose(OSError(errno.EADDRNOTAVAIL, "the host's address is gone"))

    def has_last_words(self, connection: "Connection") -> bool:
        """Tell whether a program that is gone, or has half-closed, had something to say.

        Its FIN has arrived, or is behind data for which our receive buffer had no room.
        """
        program, (_name, address, port) = connection.program, connection.target
        if state(program) == TCP_CLOSE_WAIT:
            return True
        return (peer(program), (address, port)) in self._last_words

    async def finish(self, tcp_table: str) -> None:
        """Deliver what programs that are gone said last; reset what nobody will read.

        `tcp_table` is the namespace's /proc/net/tcp. A connection whose program's side is closed
        runs on until both directions have ended.
        """
        self.ending = True
        self._last_words = closed_by_their_side(tcp_table)
        for connection in list(self.live):
            connection.abandon()
        if self.live:
            self._idle = trio.Event()
            await self._idle.wait()


class Connection:
    """One of them."""

    def __init__(self, shared: Connections, number: int, program: socket.socket) -> None:
        """Take over a socket that the kernel has accepted on our behalf."""
        self.program = program
        self.pump: Pump | None = None
        self.target = Target(None, "", 0)
        self._shared = shared
        self.number = number
        self._started = trio.current_time()
        self.reached = ""
        self.retire_after = math.inf
        self._scope: trio.CancelScope | None = None
        """Of the dial, or of the gateway's work."""

    async def relay(self) -> None:
        """Relay it; returns when it is over, whatever its end."""
        shared, number = self._shared, self.number
        address, port = original_destination(self.program, shared.intercept)
        name = shared.naming.name_of(address)
        self.target = Target(name, address, port)
        origin = shared.gateway.origin_at(self._flow()) if shared.gateway is not None else None
        if origin is not None:
            self.target = Target(origin.destination.name, *origin.destination)
        name, port = self.target.name, self.target.port
        shared.record(ConnectionOpened(connection=number, address=address, port=port, name=name))

        verdict = self._judge()
        match verdict:
            case Deny(rule):
                shared.record(ConnectionDenied(connection=number, rule=rule))
                resets_on_close(self.program)
                return
            case Allow():
                pass
            case _:
                assert_never(verdict)

        if origin is not None and shared.gateway is not None:
            with trio.CancelScope() as self._scope:
                await shared.gateway.serve(self.program, number, origin)
            return

        self.retire_after = shared.policy.idle_retire(self._flow())
        try:
            upstream = await self._dial()
        except DialError as error:
            self._note_failure(error)
            resets_on_close(self.program)
            return

        self.pump = Pump(self.program, upstream, self._dial_again)
        shared.lines.add(self)
        outcome = await self.pump.run(shared.nursery)
        sides = (self.pump.program, self.pump.upstream)
        ended = trio.current_time()
        shared.record(
            ConnectionClosed(
                connection=number,
                by=outcome.by,
                how=outcome.how,
                sent=self.pump.program.received,
                received=self.pump.upstream.received,
                seconds=ended - self._started,
                idle=ended - max(side.last_byte for side in sides),
                waiting=self.pump.program.last_byte > self.pump.upstream.last_byte,
                after_fin=self.pump.upstream.ended,
                cause=outcome.cause,
            )
        )

    def _judge(self) -> Allow | Deny:
        """Apply what always holds, then the session's rules."""
        name, address, _port = self.target
        if name is None and self._shared.naming.covers(address):
            return Deny("no name of this session has this address")
        if name is None and not is_dialable(address):
            return Deny("not an address of another host")
        return self._shared.policy.decide(self._flow())

    def _flow(self) -> Destination:
        return Destination(self.target.name or self.target.address, self.target.port)

    async def _dial(self, avoid: str = "") -> socket.socket:
        """Connect to upstream with patience, while the program still wants it; DialError."""

        def held(cause: str) -> None:
            self._shared.record(DialHeld(connection=self.number, cause=cause))

        if self._shared.ending and not self._shared.has_last_words(self):
            raise DialError("the command ended")
        started = trio.current_time()
        with trio.CancelScope() as self._scope:
            sock, attempts = await self._shared.dialer.dial(
                self.target, held=held, wanted=self._is_wanted, avoid=avoid
            )
            self.reached = peer(sock)[0]
            self._shared.record(
                Dialled(
                    connection=self.number,
                    address=self.reached,
                    seconds=trio.current_time() - started,
                    attempts=attempts,
                )
            )
            return sock
        raise DialError("the command ended")

    async def _dial_again(self, loss: OSError | None) -> socket.socket | None:
        """Replace an upstream that was lost before its first byte, by another address first."""
        cause = (loss.strerror if loss is not None else None) or "closed"
        self._shared.record(Replaying(connection=self.number, cause=cause))
        try:
            return await self._dial(avoid=self.reached)
        except DialError as error:
            self._note_failure(error)
            return None

    def _note_failure(self, error: DialError) -> None:
        seconds = trio.current_time() - self._started
        self._shared.record(DialFailed(connection=self.number, cause=error.cause, seconds=seconds))

    def _is_wanted(self) -> bool:
        """Whether the program still waits: one that has closed meanwhile has given up.

        A half-close looks the same; while nothing has been reached, both mean no loss of data
        that the program does not learn of by the reset.
        """
        return state(self.program) == TCP_ESTABLISHED

    @property
    def port(self) -> int:
        """The upstream port; this and what follows is Line."""
        return self.target.port

    @property
    def sock(self) -> socket.socket | None:
        """The upstream socket while it can be watched."""
        if self.pump is None or self.pump.upstream.ended:
            return None
        sock = self.pump.upstream.sock
        return None if sock.fileno() == -1 else sock

    @property
    def asked(self) -> float:
        """When the program last said something."""
        return self.pump.program.last_byte if self.pump is not None else self._started

    @property
    def answered(self) -> float:
        """When upstream last did."""
        return self.pump.upstream.last_byte if self.pump is not None else self._started

    @property
    def may_retire(self) -> bool:
        """Whether upstream has spoken and neither side has ended."""
        return (
            self.pump is not None
            and self.pump.upstream.received > 0
            and not (self.pump.program.ended or self.pump.upstream.ended)
        )

    def lose(self, error: OSError) -> None:
        """Give upstream up."""
        if self.pump is not None:
            self.pump.lose_upstream(error)

    def retire(self, cause: str) -> None:
        """Close an idle pair."""
        if self.pump is not None:
            self.pump.retire(cause)

    def abandon(self) -> None:
        """End it as the command has ended, unless its side is closed and has something to say."""
        if self._shared.has_last_words(self):
            return
        if self._scope is not None:
            self._scope.cancel()
        if self.pump is not None:
            self.pump.abort()


def peer(sock: socket.socket) -> Endpoint:
    """Tell the other end's address and port; empty if it has reset the connection by now."""
    try:
        address, port = sock.getpeername()
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise
        return "", 0
    return address, port


def original_destination(sock: socket.socket, intercept: Intercept) -> tuple[str, int]:
    """Tell where the program wanted to connect to."""
    if intercept == "redirect":
        raw = sock.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, 16)
        return socket.inet_ntoa(raw[4:8]), int.from_bytes(raw[2:4], "big")
    address, port = sock.getsockname()
    return address, port
