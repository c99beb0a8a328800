"""One connection from accept to close: destination, name, policy, dial, pump, record."""

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, assert_never

import trio

from relay.policy import Allow, Deny, Flow, Policy
from relay.record.events import (
    ConnectionClosed,
    ConnectionDenied,
    ConnectionOpened,
    DialFailed,
    Dialled,
    Event,
)
from relay.tcp import dialer
from relay.tcp.options import KeepAlive, resets_on_close
from relay.tcp.pump import Pump

Intercept: TypeAlias = Literal["tproxy", "redirect", "ports"]

_SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h
_TCP_CLOSE_WAIT = 8  # include/net/tcp_states.h


class Naming(Protocol):
    """What a connection asks of the synthetic addresses."""

    def name_of(self, address: str) -> str | None:
        """Give the name that a synthetic address stands for."""

    def covers(self, address: str) -> bool:
        """Tell whether an address is in the synthetic range."""


@dataclass(kw_only=True)
class Connections:
    """What all connections of a session share."""

    intercept: Intercept
    policy: Policy
    naming: Naming
    lookup: Callable[[str], Awaitable[list[str]]]
    """Resolve a name to IPv4 addresses, again for each dial; raises dialer.DialError."""
    keepalive: KeepAlive
    patience: float
    """Seconds that a dial may take."""
    record: Callable[[Event], None]
    nursery: trio.Nursery
    opened: int = 0
    _live: dict[socket.socket, Pump | trio.CancelScope | None] = field(default_factory=dict)
    _ending: bool = False
    _idle: trio.Event = field(default_factory=trio.Event)

    def start(self, program: socket.socket) -> None:
        """Relay an accepted connection in a task of its own."""
        self._live[program] = None
        self.nursery.start_soon(self._run, program)

    async def _run(self, program: socket.socket) -> None:
        try:
            if self._ending and not _has_finished_sending(program):
                _refuse(program)
            else:
                await self._relay(program)
        finally:
            program.close()
            del self._live[program]
            if not self._live:
                self._idle.set()

    async def _relay(self, program: socket.socket) -> None:
        """Relay one connection; returns when it is over, whatever its end."""
        started = trio.current_time()
        self.opened = number = self.opened + 1
        address, port = original_destination(program, self.intercept)
        name = self.naming.name_of(address)
        self.record(ConnectionOpened(connection=number, address=address, port=port, name=name))

        verdict = self._judge(name, address, port)
        match verdict:
            case Deny(rule):
                self.record(ConnectionDenied(connection=number, rule=rule))
                _refuse(program)
                return
            case Allow():
                pass
            case _:
                assert_never(verdict)

        try:
            upstream = await self._dial(program, name, (address, port))
        except dialer.DialError as error:
            seconds = trio.current_time() - started
            self.record(DialFailed(connection=number, cause=error.cause, seconds=seconds))
            _refuse(program)
            return
        dialled = trio.current_time()
        reached = upstream.getpeername()[0]
        self.record(Dialled(connection=number, address=reached, seconds=dialled - started))

        pump = self._live[program] = Pump(program, upstream)
        outcome = await pump.run(self.nursery)
        ended = trio.current_time()
        self.record(
            ConnectionClosed(
                connection=number,
                by=outcome.by,
                how=outcome.how,
                sent=pump.program.received,
                received=pump.upstream.received,
                seconds=ended - started,
                idle=ended - outcome.last_byte,
                cause=outcome.cause,
            )
        )

    def _judge(self, name: str | None, address: str, port: int) -> Allow | Deny:
        """Apply what always holds, then the session's rules."""
        if name is None and self.naming.covers(address):
            return Deny("no name of this session has this address")
        if name is None and not dialer.dialable([address]):
            return Deny("not an address of another host")
        return self.policy.decide(Flow(name or address, port))

    async def _dial(
        self, program: socket.socket, name: str | None, to: tuple[str, int]
    ) -> socket.socket:
        """Dial within the session's patience; raises DialError."""
        address, port = to
        with trio.move_on_after(self.patience) as scope:
            self._live[program] = scope
            addresses = [address] if name is None else dialer.dialable(await self.lookup(name))
            return await dialer.dial(addresses, port, self.keepalive)
        raise dialer.DialError(
            "the session ended" if self._ending else f"no answer in {self.patience:g} s"
        )

    async def finish(self) -> None:
        """Deliver what programs that are gone said last; reset what nobody will read.

        A connection whose program has sent its FIN runs on until both directions have ended.
        """
        self._ending = True
        for program, stage in list(self._live.items()):
            if stage is None or _has_finished_sending(program):
                continue
            if isinstance(stage, Pump):
                stage.abort()
            else:
                stage.cancel()
        if self._live:
            self._idle = trio.Event()
            await self._idle.wait()


def original_destination(sock: socket.socket, intercept: Intercept) -> tuple[str, int]:
    """Tell where the program wanted to connect to."""
    if intercept == "redirect":
        raw = sock.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, 16)
        return socket.inet_ntoa(raw[4:8]), int.from_bytes(raw[2:4], "big")
    address, port = sock.getsockname()
    return address, port


def _refuse(program: socket.socket) -> None:
    """Reset a connection that the kernel has already accepted for us."""
    resets_on_close(program)
    program.close()


def _has_finished_sending(sock: socket.socket) -> bool:
    """Tell whether the peer's FIN has arrived, read or not: tcpi_state of TCP_INFO."""
    state = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
    return state == _TCP_CLOSE_WAIT
