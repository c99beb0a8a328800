"""A container that hands over what it should not is refused, and costs its own session alone.

tests/flow/remote has what it may say, and what is no socket of the right kind.
"""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Final

import pytest
import trio

from netns.network import netlink
from relay.remote import channel, messages
from relay.remote.messages import Handover, Hello
from tests.support.command.keepline import Keepline
from tests.support.command.sealed import Relay, makes_its_own, relaying
from tests.support.internet.hosts import Host
from tests.support.internet.world import Internet
from tests.support.pace import patience

pytestmark = pytest.mark.as_user_alone("the relay and its container are of one user in both")

HELLO: Final = Hello(version="0", program="hostile")
HANDOVER: Final = Handover(intercept="redirect", listeners=1, holds=False)


@pytest.fixture
async def relay(internet: Internet) -> AsyncIterator[Relay]:
    async with relaying(Keepline(internet)) as made:
        yield made


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connected(relay: Relay) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(str(relay.path))
    return sock


async def answer(sock: socket.socket) -> messages.FromOutside | None:
    """Return the next message of the relay, None for its end."""
    with trio.fail_after(patience(20)):
        await trio.lowlevel.wait_readable(sock)
    try:
        return messages.from_outside(channel.receive(sock)[0])
    except EOFError:
        return None


async def greeted(relay: Relay) -> socket.socket:
    sock = connected(relay)
    channel.send(sock, HELLO)
    assert isinstance(await answer(sock), messages.Welcome)
    return sock


async def serves(relay: Relay) -> None:
    """Make sure that others are served as ever."""
    assert (await relay.run("true", container=makes_its_own())).stderr == ""


def of(host: Host, opened: ExitStack) -> list[socket.socket]:
    """Return sockets of the right kinds."""
    with host:
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        diag = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG)
        first, second = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    return [opened.enter_context(each) for each in (udp, first, diag, second)]


Make = Callable[[Internet, ExitStack], list[socket.socket]]


def the_hosts(internet: Internet, opened: ExitStack) -> list[socket.socket]:
    return of(internet.client, opened)


def the_hosts_listener(internet: Internet, opened: ExitStack) -> list[socket.socket]:
    return [*of(internet.server, opened)[:3], of(internet.client, opened)[3]]


def of_two_networks(internet: Internet, opened: ExitStack) -> list[socket.socket]:
    return [*of(internet.server, opened)[:3], of(internet.router, opened)[3]]


def too_many(internet: Internet, opened: ExitStack) -> list[socket.socket]:
    return of(internet.server, opened) + of(internet.server, opened)


def none(_internet: Internet, _opened: ExitStack) -> list[socket.socket]:
    return []


WRONG: Final[dict[Make, str]] = {
    the_hosts: "of the host's network",
    the_hosts_listener: "of the host's network",
    of_two_networks: "of several networks",
    too_many: "8 descriptors, not 4",
    none: "0 descriptors, not 4",
}


@pytest.mark.parametrize("make", WRONG)
async def test_wrong_descriptors_are_refused(
    relay: Relay,
    internet: Internet,
    opened: ExitStack,
    make: Make,
) -> None:
    sock = opened.enter_context(await greeted(relay))
    sockets = make(internet, opened)
    channel.send(sock, HANDOVER, [each.fileno() for each in sockets])
    refused = await answer(sock)
    assert isinstance(refused, messages.Refused)
    assert WRONG[make] in refused.cause
    assert await answer(sock) is None
    await serves(relay)
    assert WRONG[make] in await relay.end()


async def test_a_container_that_takes_its_connections_itself_is_not_relayed(
    relay: Relay, internet: Internet, opened: ExitStack
) -> None:
    """Its sockets block, at its own wish: that stops its session, and no other."""
    sock = opened.enter_context(await greeted(relay))
    sockets = of(internet.server, opened)
    channel.send(sock, HANDOVER, [each.fileno() for each in sockets])
    assert isinstance(await answer(sock), messages.Serving)
    for each in sockets:
        each.setblocking(True)
    with internet.server:
        opened.enter_context(socket.create_connection(sockets[3].getsockname()))
    await serves(relay)
    relay.process.kill()  # asked to end, it would wait for the session that is stuck
