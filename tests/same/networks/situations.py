"""The networks: each situation makes one of the small internet, for the time of a with statement.

    async with silent(network):
        ...

A name stands for what is wrong with its host: `refused.test`, `silent.test`.
"""

import itertools
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import trio

from tests.same.row import Situation
from tests.support.internet.faults import Fault, drop
from tests.support.internet.patterns import Packets
from tests.support.internet.servers.broken import FullBacklog, close_after, reset_after
from tests.support.internet.servers.http import Site
from tests.support.internet.servers.listening import Handler, listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.world import (
    CLIENT,
    GATEWAY,
    SECOND,
    SERVER,
    THIRD,
    Internet,
)

from .firewall import answering

SILENT: Final = "198.51.100.10"
"""In the small internet's black hole."""
METADATA: Final = "169.254.169.254"
"""Where virtual machines of clouds ask who they are."""

_ECHO: Final = 7
HTTP: Final = 80


@dataclass
class Network:
    """The small internet of one run of a program, and what its row wants to know of it."""

    internet: Internet
    nursery: trio.Nursery
    notes: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    """The program's, besides the usual."""
    began: trio.Event = field(default_factory=trio.Event)
    """The program runs; what lasts for some seconds lasts as long from then on."""

    async def sleep(self, seconds: float) -> None:
        """Wait until the program has run for so long."""
        await self.began.wait()
        await trio.sleep(seconds)

    async def serve(self, handler: Handler, port: int, address: str = SERVER) -> None:
        """Serve connections to one port."""
        listener = listen(self.internet.server, address, port)
        await self.nursery.start(serve, handler, listener)

    def name(self, name: str, *addresses: str) -> None:
        """Have a name, of IPv4 addresses alone."""
        self.internet.zone.add(name, "A", *addresses)


@asynccontextmanager
async def served(network: Network) -> AsyncIterator[None]:
    """All is well: `v4.test` answers at 80, and echoes at 7; nobody listens at other ports."""
    await network.serve(Site(), HTTP)
    await network.serve(echo, _ECHO)
    yield


@asynccontextmanager
async def serving_host(network: Network) -> AsyncIterator[None]:
    """The host itself serves at 81, on its own address and on its loopback."""
    for address in (CLIENT, "127.0.0.1"):
        listener = listen(network.internet.client, address, 81)
        await network.nursery.start(serve, Site(), listener)
    yield


@asynccontextmanager
async def silent(network: Network) -> AsyncIterator[None]:
    """`silent.test` drops what is sent to it, `mirror.test` serves."""
    network.name("silent.test", SILENT)
    network.name("mirror.test", SECOND)
    await network.serve(Site(), HTTP, SECOND)
    yield


@asynccontextmanager
async def impatient(network: Network) -> AsyncIterator[None]:
    """The same, and the host's own TCP gives a connect up after 7 s: 2 SYNs are sent again."""
    network.internet.client.set_sysctl("net.ipv4.tcp_syn_retries", "2")
    async with silent(network):
        yield


def firewall(code: int, address: str = THIRD) -> Situation:
    """Have a firewall answer connects to `wall.test` with this ICMP code."""

    @asynccontextmanager
    async def situation(network: Network) -> AsyncIterator[None]:
        network.name("wall.test", address)
        async with served(network), answering(network.internet.access.right, address, code):
            yield

    return situation


def later(seconds: float) -> Situation:
    """Have `v4.test` listen at 81 after so many seconds."""

    @asynccontextmanager
    async def situation(network: Network) -> AsyncIterator[None]:
        async def start() -> None:
            await network.sleep(seconds)
            await network.serve(Site(), 81)

        async with served(network), trio.open_nursery() as nursery:
            nursery.start_soon(start)
            yield
            nursery.cancel_scope.cancel()

    return situation


def outage(seconds: float) -> Situation:
    """Have the host lose its route to everywhere, and its way back after so many seconds."""

    @asynccontextmanager
    async def situation(network: Network) -> AsyncIterator[None]:
        access = network.internet.access.left

        async def heal() -> None:
            await network.sleep(seconds)
            access.add_route("default", GATEWAY)

        async with served(network), trio.open_nursery() as nursery:
            access.remove_route("default", GATEWAY)
            nursery.start_soon(heal)
            yield
            nursery.cancel_scope.cancel()

    return situation


def dropping(seconds: float) -> Situation:
    """Have the way drop all that is sent to `v4.test` for so many seconds."""

    @asynccontextmanager
    async def situation(network: Network) -> AsyncIterator[None]:
        async def heal(fault: Fault) -> None:
            await network.sleep(seconds)
            fault.remove()

        async with served(network), trio.open_nursery() as nursery:
            fault = drop(network.internet.router, Packets(destination=SERVER))
            nursery.start_soon(heal, fault)
            yield
            nursery.cancel_scope.cancel()

    return situation


@asynccontextmanager
async def cut_off(network: Network) -> AsyncIterator[None]:
    """The host has no route to anywhere."""
    network.internet.access.left.remove_route("default", GATEWAY)
    yield


@asynccontextmanager
async def no_metadata(network: Network) -> AsyncIterator[None]:
    """The metadata address is dropped on the way, as outside of a cloud."""
    with drop(network.internet.router, Packets(destination=METADATA)):
        async with served(network):
            yield


@asynccontextmanager
async def metadata(network: Network) -> AsyncIterator[None]:
    """The metadata address answers, as inside of a cloud."""
    network.internet.backbone.right.add_address(f"{METADATA}/32")
    network.internet.backbone.left.add_route(f"{METADATA}/32", SERVER)
    await network.serve(Site(), HTTP, METADATA)
    yield


@asynccontextmanager
async def full(network: Network) -> AsyncIterator[None]:
    """`v4.test` listens at 81, its queue is full, and nobody accepts."""
    backlog = FullBacklog(network.internet.server, SERVER, 81)
    try:
        yield
    finally:
        backlog.close()


def answers(handler: Handler) -> Situation:
    """Have `v4.test` serve its port 81 by this handler."""

    @asynccontextmanager
    async def situation(network: Network) -> AsyncIterator[None]:
        await network.serve(handler, 81)
        yield

    return situation


closes = answers(close_after(0))
resets = answers(reset_after(0))
resets_requests = answers(reset_after(1))


def stopping(seconds: float = math.inf, *, after: int = 1) -> Situation:
    """Have `v4.test` stop to listen at 81 after so many connections, for so many seconds."""

    @asynccontextmanager
    async def situation(network: Network) -> AsyncIterator[None]:
        site = Site()
        served_all = trio.Event()
        numbers = itertools.count(1)

        async def serve_one(stream: trio.SocketStream) -> None:
            await site(stream)
            if next(numbers) == after:
                served_all.set()

        async def run() -> None:
            async with trio.open_nursery() as first:
                listener = listen(network.internet.server, SERVER, 81)
                first.start_soon(serve, serve_one, listener)
                await served_all.wait()
                first.cancel_scope.cancel()
            await trio.sleep(seconds)
            await network.serve(site, 81)

        async with served(network), trio.open_nursery() as nursery:
            nursery.start_soon(run)
            yield
            nursery.cancel_scope.cancel()

    return situation


@asynccontextmanager
async def counting(network: Network) -> AsyncIterator[None]:
    """`silent.test` counts its SYNs; each connection to `v4.test` at 9 has the count noted."""
    network.name("silent.test", SILENT)
    with drop(network.internet.router, Packets(destination=SILENT, only_syn=True)) as fault:

        async def note(stream: trio.SocketStream) -> None:
            network.notes.append(str(fault.hits()))
            await stream.send_eof()

        await network.serve(note, 9)
        yield
