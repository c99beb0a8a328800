"""What stands around the relay: namespaces of programs, and servers with addresses of their own.

The process moves into namespaces of its own, where servers have addresses of the documentation
range, RFC 5737. Programs' sockets are made in a namespace that the real sandbox has built, so that
the real kernel intercepts what they dial.
"""

import dataclasses
import os
import socket
import sys
from io import FileIO
from pathlib import Path
from typing import Any, Final

import dns.message
import dns.rdatatype
import trio
from pyroute2 import IPRoute

from netns import syscalls
from netns.plan import Intercept, Plan
from netns.sandbox import Listeners, Sandbox
from relay.gateway.dialects.anthropic import DIALECT
from relay.gateway.setup import certificates
from relay.gateway.setup.choice import Enabled, Origin
from relay.gateway.setup.prepare import Prepared
from tests.support.faults.injector import INJECTOR
from tests.support.inprocess import fake_resolver
from tests.support.internet.enter import enter
from tests.support.internet.servers.api.server import Api, context
from tests.support.internet.servers.listening import Handler, over_tls, serve
from tests.support.internet.servers.plain import echo, sink, source
from tests.support.internet.servers.tls import Authority

SERVER: Final = "203.0.113.10"
SECOND: Final = "203.0.113.11"
THIRD: Final = "203.0.113.12"
NAMES: Final = "203.0.113.53"
SPARE: Final = "203.0.113.99"
"""An address that comes and goes."""

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

API_NAME: Final = "api.test"
PATIENCE: Final = 5
_AT_ONCE: Final = 20
_BOTH: Final = ("h2", "http/1.1")
_INSIDE: Final = (sys.executable, "-m", "tests.support.faults.inside")


class Namespace:
    """A namespace of programs, and the sockets that lead there."""

    def __init__(self, intercept: Intercept) -> None:
        """Build it, with a program inside that makes sockets; the caller has one thread."""
        self._way, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stdin = os.dup(0)
        os.dup2(theirs.fileno(), 0)
        self._sandbox = Sandbox()
        self._sandbox.build(Plan(_INSIDE, intercept=(intercept,)))
        self._listeners = self._sandbox.listeners()
        os.dup2(stdin, 0)
        os.close(stdin)
        theirs.close()
        self._tcp: list[socket.socket] = []
        self._udp: list[socket.socket] = []

    def listeners(self) -> Listeners:
        """Return listeners for one relay; to the injector they are the relay's own sockets."""
        mine = self._listeners
        return dataclasses.replace(
            mine,
            tcp=[_owned(sock) for sock in mine.tcp],
            dns_udp=_owned(mine.dns_udp),
            dns_tcp=_owned(mine.dns_tcp),
            tcp_table=_Table(os.dup(mine.tcp_table.fileno())),
        )

    def empty(self) -> None:
        """Take what a relay that has ended has left in the listeners."""
        for sock in (*self._listeners.tcp, self._listeners.dns_tcp):
            try:
                while True:
                    sock.accept()[0].close()
            except OSError:
                pass

    def tcp(self) -> socket.socket:
        """Return a socket that was made inside."""
        return self._made(self._tcp)

    def udp(self) -> socket.socket:
        """Return a socket that was made inside."""
        return self._made(self._udp)

    def _made(self, kept: list[socket.socket]) -> socket.socket:
        if not kept:
            self._way.send(bytes([_AT_ONCE]))
            _data, fds, _flags, _address = socket.recv_fds(self._way, 1, 2 * _AT_ONCE)
            for fd in fds:
                sock = socket.socket(fileno=fd)
                sock.setblocking(False)
                (self._tcp if sock.type == socket.SOCK_STREAM else self._udp).append(sock)
        return kept.pop()


def _owned(sock: socket.socket) -> socket.socket:
    made: Any = sock.dup()
    made.is_owned = True
    return made  # type: ignore[no-any-return]


class _Table(FileIO):
    """The namespace's table of connections, whose read may fail."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd, "rb")
        self.seek(0)

    def readall(self) -> bytes:
        """Read all."""
        if (fault := INJECTOR.fault("readall")) is not None:
            raise fault
        return super().readall()


class World:
    """All of it, for one process."""

    def __init__(self, folder: Path, *, as_root: bool) -> None:
        """Enter the namespaces, and build those of programs."""
        enter(as_root=as_root)
        self._ip = IPRoute()
        for address in (SERVER, SECOND, THIRD, NAMES):
            self._ip.addr("add", index=1, address=address, prefixlen=32)
        self.folder = folder
        resolv_conf = folder / "resolv.conf"
        resolv_conf.write_text(f"nameserver {NAMES}\n")
        self.resolv_conf = resolv_conf
        syscalls.mount(str(resolv_conf), "/etc/resolv.conf", flags=syscalls.MS_BIND)
        self.tproxy = Namespace("tproxy")
        self.redirect = Namespace("redirect")
        self.authority = Authority(folder)
        os.environ["SSL_CERT_FILE"] = str(self.authority.file)
        self._h2 = context(self.authority, API_NAME, protocols=_BOTH)
        self._h1 = context(self.authority, API_NAME, protocols=_BOTH[1:])

    def has_spare(self, *, there: bool) -> None:
        """Let the machine have the address SPARE, or lose it."""
        self._ip.addr("add" if there else "del", index=1, address=SPARE, prefixlen=32)

    async def serve(self, nursery: trio.Nursery, api: Api) -> None:
        """Start all servers."""
        await fake_resolver.start(nursery, _answer, (NAMES, 53))
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
        }
        for port, handler in handlers.items():
            listener = socket.create_server(("0.0.0.0", port), backlog=64)
            listener.setblocking(False)
            made = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
            await nursery.start(serve, handler, made)


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
    name, texts = question.name.to_text(omit_final_dot=True), ()
    if question.rdtype == dns.rdatatype.A:
        addresses = (SECOND, THIRD) if name == "two.test" else (SERVER,)
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
    """Resets its first connection after the first bytes; echoes on all others."""

    def __init__(self) -> None:
        self._is_first = True

    async def __call__(self, stream: trio.SocketStream) -> None:
        """Serve one."""
        if not self._is_first:
            await echo(stream)
            return
        self._is_first = False
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
