"""A proxy over loopback in the test's own process, whose names lead to servers of the test.

    async with proxied({"www.example": server}) as it:
        async with it.program() as program:
            await program.send_all(b"CONNECT www.example:443 HTTP/1.0\r\n\r\n")

`it.events` is the flight log. Addresses of names are of 192.0.2.0/24: policy judges these.
"""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

import trio
import trio.testing

from relay import sockets
from relay.addresses import Destination, Endpoint
from relay.host.network import NetworkWatch
from relay.inbound.proxy.listener import ProxyListener
from relay.inbound.proxy.secret import USER, Secret
from relay.outbound.dialer import Dialer
from relay.outbound.door import Door
from relay.outbound.host_loopback import HostLoopback
from relay.outbound.keepalive import KeepAlive
from relay.outbound.opener import Opener
from relay.outbound.patience import DialError
from relay.outbound.standing import Standing
from relay.policy.current import CurrentPolicy
from relay.policy.host_ports import HostItself, HostPorts, PortRange
from relay.policy.policy import Policy
from relay.record.events import Event
from relay.record.kinds import Kind
from relay.tcp.connection import Connections, Handler
from relay.tcp.handlers import Handlers
from tests.support.log_schema import check_events
from tests.support.pace import patience

SECRET: Final = Secret.of(b"0123456789abcdef")
LOGIN: Final = bytes([1, len(USER)]) + b"".join(
    (USER.encode(), bytes([len(SECRET.token)]), SECRET.token.encode())
)
"""The message of RFC 1929 that shows it."""

KEEPALIVE: Final = KeepAlive(idle=20, interval=5, count=3, user_timeout=300, rto_max=1000)

T = TypeVar("T", bound=Event)
Serve = Callable[[trio.SocketStream], Awaitable[None]]


class _NoNames:
    """No address stands for a name."""

    @staticmethod
    def dialled(_address: str, _now: float) -> str | None:
        return None

    @staticmethod
    def covers(_address: str) -> bool:
        return False


@dataclass
class Proxied:
    """A proxy that serves."""

    address: Endpoint
    connections: Connections
    listener: ProxyListener
    events: list[Event]
    dialled: list[Endpoint] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)
    """Errnos by address, which a dial there meets; 0: no answer at all."""

    @asynccontextmanager
    async def program(self) -> AsyncIterator[trio.SocketStream]:
        """Connect to it as a program does."""
        with trio.fail_after(patience(200)):
            async with await trio.open_tcp_stream(*self.address) as stream:
                yield stream

    def only(self, kind: type[T]) -> T:
        """Return the one event of a type."""
        (event,) = (each for each in self.events if isinstance(each, kind))
        return event

    async def seen(self, kind: type[T]) -> T:
        """Wait for an event of a type."""
        await until(lambda: any(isinstance(each, kind) for each in self.events))
        return next(each for each in self.events if isinstance(each, kind))


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    with trio.fail_after(patience(20)):
        while not is_so():
            await trio.testing.wait_all_tasks_blocked()
            await trio.sleep(0.005)


async def echo(stream: trio.SocketStream) -> None:
    """Echo what comes, and end with it."""
    async for data in stream:
        await stream.send_all(data)
    await stream.send_eof()


@asynccontextmanager
async def proxied(
    servers: Mapping[str, Serve] | None = None,
    *,
    secret: Secret | None = None,
    deny: Sequence[str] = (),
    host_ports: Sequence[int] = (),
    limit: float = 5.0,
    base_url: Endpoint | None = None,
    gateway: Callable[[Destination, Handler], Handler | None] = lambda _destination, _past: None,
) -> AsyncIterator[Proxied]:
    """Serve a proxy, and the servers that its names lead to."""
    events: list[Event] = []
    policy = CurrentPolicy(Policy(deny=deny))
    places: dict[str, Endpoint] = {}
    addresses: dict[str, str] = {}

    async def lookup(destination: Destination, *, fresh: bool) -> list[str]:
        if destination.host not in addresses:
            cause = "the name does not exist"
            raise DialError(cause, Kind.NAME_FAILURE, is_final=True)
        return [addresses[destination.host]]

    async def connect(sock: socket.socket, endpoint: Endpoint) -> int:
        made.dialled.append(endpoint)
        number = made.failures.get(endpoint[0])
        if number == 0:
            await trio.sleep_forever()
        if number is not None:
            return number
        return await sockets.connect(sock, places.get(endpoint[0], endpoint))

    with trio.fail_after(patience(200)), socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        async with trio.open_nursery() as nursery:
            for number, (name, serve) in enumerate((servers or {}).items(), 1):
                (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
                addresses[name] = f"192.0.2.{number}"
                places[addresses[name]] = listener.socket.getsockname()
                nursery.start_soon(trio.serve_listeners, serve, [listener])
            standing = Standing()
            dialer = Dialer(lookup, KEEPALIVE, Door(policy, connect))
            opener = Opener(dialer, NetworkWatch(), standing, events.append, patience=limit)
            ports = HostPorts([PortRange(each, each, "a test") for each in host_ports])
            ports.withhold(sock.getsockname()[1])
            loopback = HostLoopback(
                HostItself("198.18.0.2", ("host.internal",)), ports, policy, events.append
            )
            handlers = Handlers(policy, _NoNames(), opener, gateway, loopback)
            connections = Connections(handlers.handler_for, standing, events.append, nursery, None)
            serving = ProxyListener(sock, events.append, secret, base_url)
            made = Proxied(sock.getsockname(), connections, serving, events)
            nursery.start_soon(serving.serve, connections.start)
            yield made
            nursery.cancel_scope.cancel()
    check_events(events)
