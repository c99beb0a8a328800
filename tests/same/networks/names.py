"""Networks in which names are what is wrong: their answers, their resolvers, their addresses."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.rcode
import trio

from tests.same.row import Situation
from tests.support.internet.servers.http import Site
from tests.support.internet.servers.zone import Trouble
from tests.support.internet.world import NAMES, OTHER_NAMES, SECOND, SERVER, SERVER_V6

from .situations import HTTP, SILENT, Network, served


def named(trouble: Trouble, name: str = "bad.test") -> Situation:
    """Have the resolvers misbehave for one name, `bad.test`; all others are well."""

    @asynccontextmanager
    async def situation(network: Network) -> AsyncIterator[None]:
        for zone in (network.internet.zone, network.internet.zone_of_other):
            zone.set_trouble(name, trouble)
        async with served(network):
            yield

    return situation


refused_name = named(Trouble(rcode=dns.rcode.REFUSED))
failed_name = named(Trouble(rcode=dns.rcode.SERVFAIL))


@asynccontextmanager
async def search_domains(network: Network) -> AsyncIterator[None]:
    """Two search domains and ndots 5, as in a pod; the domains' names are SERVFAIL."""
    zone = network.internet.zone
    for domain in ("one.test", "two.test"):
        zone.set_trouble(f"v4.test.{domain}", Trouble(rcode=dns.rcode.SERVFAIL))
    resolv_conf = network.internet.client.resolv_conf
    resolv_conf.write_text(f"nameserver {NAMES}\nsearch one.test two.test\noptions ndots:5\n")
    async with served(network):
        yield


@asynccontextmanager
async def hosts_file(network: Network) -> AsyncIterator[None]:
    """`intern.test` stands in /etc/hosts alone."""
    path = network.internet.client.hosts_file
    path.write_text(f"{path.read_text()}{SERVER} intern.test\n")
    async with served(network):
        yield


@asynccontextmanager
async def dead_stub(network: Network) -> AsyncIterator[None]:
    """The only resolver is one on the host itself, and it does not run."""
    network.internet.client.use_resolvers("127.0.0.53")
    async with served(network):
        yield


@asynccontextmanager
async def second_resolver(network: Network) -> AsyncIterator[None]:
    """The first of two resolvers refuses at once, for it does not run."""
    network.internet.client.use_resolvers("127.0.0.53", OTHER_NAMES)
    async with served(network):
        yield


@asynccontextmanager
async def silent_resolver(network: Network) -> AsyncIterator[None]:
    """The only resolver says nothing."""
    network.internet.client.use_resolvers(SILENT)
    async with served(network):
        yield


@asynccontextmanager
async def vanishing(network: Network) -> AsyncIterator[None]:
    """`gone.test` is NXDOMAIN once a connection to it has been made; its address stays served."""
    network.internet.zone.add("gone.test", "A", SECOND, ttl=1)
    site = Site()

    async def serve_once(stream: trio.SocketStream) -> None:
        if "gone.test" not in network.notes:
            network.notes.append("gone.test")
            network.internet.zone.remove("gone.test")
        await site(stream)

    await network.serve(serve_once, HTTP, SECOND)
    yield


@asynccontextmanager
async def only_ipv6(network: Network) -> AsyncIterator[None]:
    """`v6.test` has no IPv4 address, and serves."""
    await network.serve(Site(), HTTP, SERVER_V6)
    yield


def resolves_to(*addresses: str) -> Situation:
    """Have `odd.test` resolve to these addresses."""

    @asynccontextmanager
    async def situation(network: Network) -> AsyncIterator[None]:
        network.name("odd.test", *addresses)
        async with served(network):
            yield

    return situation


@asynccontextmanager
async def two_addresses(network: Network) -> AsyncIterator[None]:
    """`odd.test` has two addresses; the first is silent, the second serves."""
    network.name("odd.test", SILENT, SERVER)
    network.internet.zone.keep_order("odd.test", "A")
    async with served(network):
        yield
