"""What stands around the relay: namespaces of programs, and servers with addresses of their own.

The process moves into namespaces of its own, where servers have addresses of the documentation
range, RFC 5737. Programs' sockets are made in a namespace that the real sandbox has built, so that
the real kernel intercepts what they dial.
"""

import contextlib
import dataclasses
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import dns.message
import dns.rdatatype
import trio
from pyroute2 import IPRoute

from netns import syscalls
from netns.network.holding import SynSockets
from netns.plan import Intercept, Plan
from netns.sandbox import Listeners, Sandbox
from relay.gateway.dialects.anthropic import DIALECT
from relay.gateway.setup import certificates
from relay.gateway.setup.choice import Enabled, Origin
from relay.gateway.setup.prepare import Prepared
from tests.support.faults import calls
from tests.support.inprocess import fake_resolver
from tests.support.internet.enter import enter
from tests.support.internet.servers.api.server import Api, context
from tests.support.internet.servers.listening import Handler, over_tls, serve
from tests.support.internet.servers.plain import echo, sink, source
from tests.support.internet.servers.proxy import Proxy
from tests.support.internet.servers.tls import Authority

SERVER: Final = "203.0.113.10"
SECOND: Final = "203.0.113.11"
THIRD: Final = "203.0.113.12"
NAMES: Final = "203.0.113.53"
SPARE: Final = "203.0.113.99"
"""An address that comes and goes."""
SILENT: Final = "198.51.100.1"
"""An address that swallows what is sent there."""
NOWHERE: Final = "192.0.2.1"
"""An address without a route."""

NOBODY: Final = 4
ECHO: Final = 7
SINK: Final = 9
SOURCE: Final = 19
CUT: Final = 20
SLOW: Final = 21
FRAGILE: Final = 443
PLAIN_API: Final = 8080
UPGRADES: Final = 8081
H2_API: Final = 8443
H1_API: Final = 8444
CONNECT: Final = 3128
SOCKS: Final = 1080
TLS_PROXY: Final = 3129
CHANGED: Final = 3130
"""Of a proxy whose password is another by now."""
HTTP_ECHO: Final = 80
"""Of the proxies that a session may have, and of what is reached by SOCKS5."""

API_NAME: Final = "api.test"
HOST: Final = "198.18.0.2"
"""By which programs dial the host's loopback, where all servers listen too."""

ABSENT: Final = 5
OPEN: Final = (ECHO, CUT, ABSENT)
"""Ports of it that are open; at one of them nobody listens."""

PATIENCE: Final = 60
"""Seconds: time jumps, and a packet that a busy machine delivers late must not be an outage."""

_BOTH: Final = ("h2", "http/1.1")

_ADDRESSES: Final = {
    "two.test": (SECOND, THIRD),
    "slow.test": (SILENT, THIRD),
    "half.test": (SECOND, SILENT),
}

T = TypeVar("T")


class Namespace:
    """A namespace of programs, built by the real sandbox, and the sockets that lead there."""

    def __init__(self, intercept: Intercept) -> None:
        """Build it; the caller has one thread. The program in it only stays."""
        sandbox = Sandbox()
        ports = [(port, port) for port in OPEN]
        sandbox.build(Plan(("sleep", "infinity"), intercept=(intercept,), host_ports=ports))
        sandbox.release()
        self._listeners = sandbox.listeners()
        self._outside = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._inside = os.open(f"/proc/{sandbox.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.inside(_small_buffers)

    def listeners(self) -> Listeners:
        """Return listeners for one relay; to the injector they are the relay's own sockets."""
        mine = self._listeners
        return dataclasses.replace(
            mine,
            tcp=[_owned(sock) for sock in mine.tcp],
            dns_udp=_owned(mine.dns_udp),
            dns_tcp=_owned(mine.dns_tcp),
            diag=_owned(mine.diag),
            syns=mine.syns and SynSockets.of([_owned(sock) for sock in mine.syns.all()]),
        )

    def empty(self) -> None:
        """Take what a relay that has ended has left unread."""
        mine = self._listeners
        with contextlib.suppress(BlockingIOError):
            while mine.syns is not None:
                mine.syns.log.recv(1)
        for sock in (*mine.tcp, mine.dns_tcp):
            with contextlib.suppress(BlockingIOError):
                while True:
                    sock.accept()[0].close()

    def new_socket(self, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        """Return a socket of a program, non-blocking."""
        made = self.inside(lambda: socket.socket(socket.AF_INET, kind))
        made.setblocking(False)
        return made

    def inside(self, make: Callable[[], T]) -> T:
        """Make something in the programs' network: a socket, or a program."""
        syscalls.setns(self._inside, syscalls.CLONE_NEWNET)
        try:
            return make()
        finally:
            syscalls.setns(self._outside, syscalls.CLONE_NEWNET)


def _small_buffers() -> None:
    """Give connections little room, so that who sends much has to wait."""
    for name in ("tcp_rmem", "tcp_wmem"):
        Path("/proc/sys/net/ipv4", name).write_text("4096 32768 65536")


def _owned(sock: socket.socket) -> socket.socket:
    made = sock.dup()
    assert isinstance(made, calls.FaultySocket)
    made.is_owned = True
    return made


class World:
    """All of it, for one process."""

    def __init__(self, folder: Path) -> None:
        """Enter the namespaces, and build those of programs."""
        enter(as_root=False)
        self._ip = IPRoute()
        self._is_spare_there = False
        for address in (SERVER, SECOND, THIRD, NAMES):
            self._ip.addr("add", index=1, address=address, prefixlen=32)
        self._ip.route("add", dst=f"{SILENT}/32", oif=1)  # back in through lo, where nobody has it
        _small_buffers()
        self.folder = folder
        resolv_conf = folder / "resolv.conf"
        resolv_conf.write_text(f"nameserver {NAMES}\n")
        self.resolv_conf = resolv_conf
        syscalls.mount(str(resolv_conf), "/etc/resolv.conf", flags=syscalls.MS_BIND)
        self.tproxy = Namespace("tproxy")
        self.redirect = Namespace("redirect")
        self.authority = Authority(folder)
        os.environ["SSL_CERT_FILE"] = str(self.authority.file)
        os.environ.update(self.authority.identity(folder))
        self._h2 = context(self.authority, API_NAME, protocols=_BOTH)
        self._proxys = self.authority.server_context("proxy.test")
        self._h1 = context(self.authority, API_NAME, protocols=_BOTH[1:])

    def has_spare(self, *, there: bool) -> None:
        """Let the machine have the address SPARE, or lose it, unless that is so already."""
        if there != self._is_spare_there:
            self._ip.addr("add" if there else "del", index=1, address=SPARE, prefixlen=32)
        self._is_spare_there = there

    async def serve(self, nursery: trio.Nursery, api: Api) -> None:
        """Start all servers."""
        await fake_resolver.start(nursery, _answer, (NAMES, 53))
        proxy = Proxy(_reach)
        proxy.forwards = True
        changed = Proxy(_reach)
        changed.credentials = "me:new"
        handlers: dict[int, Handler] = {
            ECHO: echo,
            SINK: sink,
            SOURCE: source,
            CUT: _cut,
            SLOW: _slow,
            FRAGILE: _Fragile(),
            PLAIN_API: api,
            UPGRADES: _upgrade,
            H2_API: over_tls(api, self._h2),
            H1_API: over_tls(api, self._h1),
            CONNECT: proxy.http,
            SOCKS: proxy.socks,
            CHANGED: changed.http,
            TLS_PROXY: over_tls(proxy.http, self._proxys),
            HTTP_ECHO: echo,
        }
        for port, handler in handlers.items():
            listener = socket.create_server(("0.0.0.0", port), backlog=64)
            listener.setblocking(False)
            made = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
            await nursery.start(serve, handler, made)


async def _reach(_host: str, port: int) -> trio.SocketStream:
    if port == NOBODY:
        raise trio.BrokenResourceError
    return await trio.open_tcp_stream(SERVER, port)


def gateway() -> Prepared:
    """Prepare a gateway to all servers of the API, with certificates of its own."""
    openssl = certificates.find()
    assert openssl is not None
    origins = tuple(
        Origin(API_NAME, port, port in {H2_API, H1_API}, "", DIALECT)
        for port in (PLAIN_API, UPGRADES, H2_API, H1_API)
    )
    made = certificates.make([API_NAME], openssl=openssl)
    return Prepared(Enabled("tls", origins, "a test"), made, {}, "block", 5.0, float(PATIENCE))


async def _answer(asked: fake_resolver.Asked) -> None:
    """Know every name: most are SERVER's; a text is too long for a datagram."""
    question = asked.message.question[0]
    name = question.name.to_text(omit_final_dot=True)
    texts: tuple[str, ...] = ()
    if question.rdtype == dns.rdatatype.A:
        addresses = _ADDRESSES.get(name, (SERVER,))
        texts = tuple(f"{name} 60 A {address}" for address in addresses)
    elif question.rdtype == dns.rdatatype.TXT:
        texts = tuple(f"{name} 60 TXT {number:0200}" for number in range(10))
        if not asked.tcp:
            await fake_resolver.truncated(fake_resolver.silent)(asked)
            return
    await fake_resolver.says(*texts)(asked)


async def _cut(stream: trio.SocketStream) -> None:
    """Answer the first bytes with some, and reset the connection."""
    await stream.receive_some()
    await stream.send_all(b"half")
    await trio.sleep(0.1)
    _reset(stream)


async def _slow(stream: trio.SocketStream) -> None:
    """Echo a little later, so that an answer is not as old as what it answers."""
    async for data in stream:
        await trio.sleep(0.1)
        await stream.send_all(data)


class _Fragile:
    """Resets the first connection to each address after its first bytes; echoes on all others."""

    def __init__(self) -> None:
        self._met: set[str] = set()

    async def __call__(self, stream: trio.SocketStream) -> None:
        """Serve one."""
        address = stream.socket.getsockname()[0]
        if address in self._met:
            await echo(stream)
            return
        self._met.add(address)
        await stream.receive_some()
        _reset(stream)


def _reset(stream: trio.SocketStream) -> None:
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    stream.socket.close()


async def _upgrade(stream: trio.SocketStream) -> None:
    """Agree to any upgrade, and echo."""
    await stream.receive_some()
    await stream.send_all(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n")
    await echo(stream)
