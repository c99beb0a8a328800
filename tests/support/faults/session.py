"""A relay with a program before it, in one run of trio: what the program does, and the machine."""

import os
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import dns.message
import msgspec
import trio

from netns.handoff import Listeners
from netns.plan import OWN_ADDRESS
from relay import server
from relay.auto_ports.editors import EditorFolder
from relay.auto_ports.setup import EditorFolders
from relay.barrier import kept_running
from relay.config import DestinationSettings, Settings, Sources
from relay.config.publishing import Publication
from relay.config.way_out import WayOut
from relay.dns.framing import frame
from relay.gateway.setup.prepare import Prepared, Without
from relay.namespace import ways_in
from relay.policy.host_ports import HostPorts, PortRange
from relay.proxies.bypass import Bypass
from relay.proxies.routes import Routes
from relay.proxies.url import Credentials, Proxy
from relay.publishing.on_host import open_all
from relay.record import writing
from relay.record.events import Event, Slept
from relay.record.flightlog import FlightLog
from tests.support.faults import calls
from tests.support.faults.injector import INJECTOR
from tests.support.faults.maker import MakerAtOnce
from tests.support.faults.world import (
    CHANGED,
    CONNECT,
    ECHO,
    OPEN,
    PATIENCE,
    SERVER,
    SOCKS,
    THIRD,
    TLS_PROXY,
    Namespace,
    World,
)
from tests.support.inprocess.gateway import Program
from tests.support.internet.servers.api.faults import Failure, Fault
from tests.support.internet.servers.api.server import Api
from tests.support.internet.servers.api.stream import Position

E = TypeVar("E", bound=Event)

RETIRED: Final = 2
"""Seconds after which a connection to THIRD is closed."""
DENIED: Final = 25
ASKED: Final = 8001
"""The port inside that is published as it was asked for."""
_ANSWER: Final = 2.0
"""Seconds for which a program waits for an answer of the name server before it asks again."""

_RESTARTED: Final = 20.0
"""Seconds in which whatever is started again after faults is there."""

_SETTINGS: Final = Settings(
    patience=PATIENCE,
    deny=(f"*:{DENIED}",),
    destination={THIRD: DestinationSettings(idle_retire=RETIRED)},
)
_ALLOW: Final = ("*", "203.0.113.0/24")
"""All that is dialled, so that mode allowlist differs in what it holds until it is judged."""


_CONNECT: Final = Proxy("http", "proxy.test", CONNECT)
_PROXIES: Final = {
    "socks5": Proxy("socks5", "proxy.test", SOCKS, Credentials(b"me", b"pw")),
    "http": _CONNECT,
    "https": Proxy("https", "proxy.test", TLS_PROXY),
    "changed": Proxy("http", "proxy.test", CHANGED, Credentials(b"me", b"old")),
}
"""For port 80, by a scenario's word; by HTTP it forwards. All others are reached by CONNECT."""


def _way_out(proxied: str) -> WayOut | None:
    if not proxied:
        return None
    bypass = Bypass.parse("203.0.113.0/24")
    routes = Routes(_PROXIES[proxied], _CONNECT, bypass, "a scenario")
    context = ssl.create_default_context() if proxied == "https" else None
    command = ("printf", "me:new")
    return WayOut(
        routes, {"proxy.test": SERVER}, resolves_here=False, command=command, context=context
    )


class NoAnswerError(Exception):
    """The name server does not answer, however often it is asked."""


_WITHOUT: Final = Without("it is off", by_choice=True)


@dataclass
class Session:
    """A relay that runs in `nursery`."""

    world: World
    namespace: Namespace
    log: FlightLog
    nursery: trio.Nursery
    prepared: Prepared | None
    served: Api
    is_allowlist: bool = False
    proxied: str = ""
    """The scheme of the proxy for port 80, if there are proxies."""
    is_published: bool = False
    events: list[Event] = field(default_factory=list)
    opened: ExitStack = field(default_factory=ExitStack)
    """What is to be closed when the session has ended."""
    _asked: int = 0
    _editors: EditorFolders = field(default_factory=EditorFolders)

    def start(self) -> None:
        """Make and start the relay, as a session does."""
        locks = self._folder / "ide"
        locks.mkdir(parents=True)
        listeners = self.namespace.listeners()
        self.listeners: Listeners = replace(listeners, read_only=[str(locks)])
        with suppress(OSError):  # without a watch editors are not found
            folder = EditorFolder.opened(locks)
            self._editors.opened += [folder] if folder is not None else []
        rules = _ALLOW if self.is_allowlist else ()
        settings = msgspec.structs.replace(_SETTINGS, allow=rules)
        self.relay = server.Relay(
            settings,
            ways_in(self.listeners),
            self._record,
            self.prepared or _WITHOUT,
            self._sources,
            HostPorts(PortRange(port, port, "a test") for port in OPEN),
            editors=self._editors,
            way_out=_way_out(self.proxied),
        )
        if self.is_published:
            maker = MakerAtOnce(self.namespace)
            self.opened.callback(maker.stop)
            INJECTOR.is_on = False  # as long as what fails ends the session before it starts
            asked = open_all([Publication(ASKED, 0)], self.opened)
            INJECTOR.is_on = True
            self.relay.publish(maker, asked)
        writer = partial(writing.write_log, self.log)
        self.nursery.start_soon(kept_running, self._record, "writer of the log", writer)
        self.nursery.start_soon(kept_running, self._record, "relay", self.relay.serve)

    @property
    def _sources(self) -> Sources:
        flags = {"deny": _SETTINGS.deny, "host_ports": OPEN}
        return Sources(flags=flags, path=str(self._config))

    @property
    def _config(self) -> Path:
        return self._folder / "config.toml"

    @property
    def _folder(self) -> Path:
        return Path(self.world.folder, f"{id(self)}")

    def close(self) -> None:
        """Close what the relay was given."""
        self.opened.close()
        self.listeners.close()
        for folder in self._editors.opened:
            folder.close()
        shutil.rmtree(self._folder)

    def has_editor(self, port: int) -> Path:
        """Say in a lock file that this process serves an agent at a port; return the file."""
        lock = self._folder / f"ide/{port}.lock"
        lock.write_text(f'{{"pid": {os.getpid()}}}')
        return lock

    def add_rule(self, count: int) -> None:
        """Deny as many addresses that nobody dials, as somebody who edits the settings does."""
        denied = [f"192.0.2.{250 + number}" for number in range(count)]
        self._config.write_text(f"deny = {denied}\n")

    def _record(self, event: Event) -> None:
        self.events.append(event)
        self.log.record(event)

    async def connect(self, address: str, port: int, *, room: int = 0) -> trio.SocketStream:
        """Dial as a program; `room` is the size of its receive buffer."""
        sock = trio.socket.from_stdlib_socket(self.namespace.new_socket())
        try:
            if room:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
            await sock.connect((address, port))
        except BaseException:
            sock.close()
            raise
        return trio.SocketStream(sock)

    def listen(self, port: int) -> trio.SocketListener:
        """Listen inside."""
        sock = self.namespace.new_socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen()
        return trio.SocketListener(trio.socket.from_stdlib_socket(sock))

    def of(self, kind: type[E]) -> list[E]:
        """Return the events of one kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, wanted: Callable[[], object]) -> None:
        """Wait for what shows in the events."""
        while not wanted():  # noqa: ASYNC110 - time jumps, and nothing else tells of a record
            await trio.sleep(0.01)

    def new_name(self) -> str:
        """Return a name that nobody has asked for yet."""
        self._asked += 1
        return f"n{self._asked}.test"

    async def ask(self, name: str, rdtype: str = "A") -> dns.message.Message:
        """Ask the name server over UDP, and again, as libc does."""
        query = dns.message.make_query(name, rdtype)
        sock = trio.socket.from_stdlib_socket(self.namespace.new_socket(socket.SOCK_DGRAM))
        with sock:
            for _ in range(5):
                await sock.sendto(query.to_wire(), (OWN_ADDRESS, 53))
                with trio.move_on_after(_ANSWER):
                    return dns.message.from_wire(await sock.recv(65535))
        raise NoAnswerError(name)

    async def ask_by_tcp(self, name: str) -> None:
        """Ask the name server over TCP, for what is too long for a datagram too."""
        async with await self.connect(OWN_ADDRESS, 53) as stream:
            await stream.send_all(frame(dns.message.make_query(name, "A").to_wire()))
            assert await stream.receive_some(), "closed without an answer"

    async def address_of(self, name: str) -> str:
        """Return the address that stands for a name."""
        answer = await self.ask(name)
        if not answer.answer:
            raise NoAnswerError(name)
        return str(next(iter(answer.answer[0])))

    async def echoed(self, stream: trio.abc.Stream, data: bytes = b"?") -> None:
        """Say something and hear it back."""
        await stream.send_all(data)
        await self.hears(stream, data)

    async def hears(self, stream: trio.abc.Stream, data: bytes) -> None:
        """Hear what was said before."""
        got = b""
        while got != data:
            piece = await stream.receive_some()
            assert piece, f"an end after {got!r}"
            got += piece

    @asynccontextmanager
    async def api(self, port: int, *, tls: bool) -> AsyncIterator[Program]:
        """Connect to the API, which is the gateway."""
        stream: Any = await self.connect(await self.address_of("api.test"), port)
        if tls:
            assert self.prepared is not None
            assert self.prepared.certificates is not None
            trusting = ssl.create_default_context(cadata=self.prepared.certificates.ca)
            stream = trio.SSLStream(stream, trusting, server_hostname="api.test")
        async with stream:
            yield Program(stream)

    def meet_limit(self) -> None:
        """Let the relay have no descriptor for the next connection."""
        INJECTOR.limits = 1

    def cut_answers(self) -> None:
        """Let every answer be cut in its text."""
        self.served.script.add(*[Failure(Fault.RST, Position.IN_TOOL_USE)] * 9)

    def sleep_machine(self) -> None:
        """Let the machine have slept for a minute."""
        calls.asleep += 60.0

    async def check(self, control: trio.SocketStream) -> None:
        """See that all goes on: a connection from before, a new one by name, and every watch."""
        await self.echoed(control)
        async with await self.connect(await self.address_of(self.new_name()), ECHO) as stream:
            await self.echoed(stream)
        await self.ask_by_tcp(self.new_name())
        await self._check_watches()

    async def _check_watches(self) -> None:
        """See that the machine's sleep is noticed, and a change of its network."""
        known = len(self.events)
        self.sleep_machine()
        with trio.move_on_after(_RESTARTED):
            while not any(isinstance(event, Slept) for event in self.events[known:]):  # noqa: ASYNC110
                await trio.sleep(0.5)  # time jumps, and nothing else tells of a record
        assert any(isinstance(event, Slept) for event in self.events[known:]), "no watch: sleep"
        self.world.has_spare(there=True)
        async with await self.connect("203.0.113.99", ECHO) as stream:
            await self.echoed(stream)
            self.world.has_spare(there=False)
            try:
                await stream.receive_some()
            except trio.BrokenResourceError:
                return
            raise AssertionError("no watch: network")
