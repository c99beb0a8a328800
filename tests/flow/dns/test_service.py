"""The session's names: nothing is lost of the first question, whichever way it comes."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.message
import dns.rcode
import pytest
import trio

from relay.addresses import Destination
from relay.config import Settings
from relay.dns.framing import frame
from relay.dns.nameserver import IP_PKTINFO
from relay.dns.service import NameService
from relay.dns.synthetic import SyntheticAddresses
from relay.outbound.door import DeniedError
from relay.outbound.patience import DialError
from relay.record.kinds import Kind
from tests.support.inprocess.fake_resolver import Asked, Script, says, start
from tests.support.pace import patience

SYNTHETIC = SyntheticAddresses.of().assign("www.example", 0).address
ADDRESS = says("www.example 60 A 192.0.2.1")
WWW = Destination("www.example", 443)
QUERY = dns.message.make_query("www.example", "A").to_wire()


@asynccontextmanager
async def serving(
    script: Script, deny: tuple[str, ...] = ()
) -> AsyncIterator[tuple[NameService, tuple[str, int]]]:
    """Serve names with a fake resolver behind; yield the service and the name server's address."""
    tcp = socket.create_server(("127.0.0.1", 0))
    udp = socket.socket(type=socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_IP, IP_PKTINFO, 1)
    udp.bind(tcp.getsockname())
    for sock in (udp, tcp):
        sock.setblocking(False)
    address = tcp.getsockname()
    async with trio.open_nursery() as nursery:
        upstream = await start(nursery, script)
        settings = Settings(nameservers=(str(upstream.server),), patience=0, deny=deny)
        service = NameService(settings, settings.policy(), lambda _event: None)
        nursery.start_soon(service.serve, (udp, tcp))
        with trio.fail_after(patience(10)), udp, tcp:
            yield service, address
            nursery.cancel_scope.cancel()


async def test_names_to_be_dialled_come_first() -> None:
    async with serving(ADDRESS) as (service, _address):
        found: list[list[str]] = []

        async def look_up() -> None:
            found.append(await service.lookup(WWW, fresh=False))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(look_up)
            nursery.start_soon(look_up)
        assert found == [["192.0.2.1"]] * 2


async def test_names_are_looked_up_where_nobody_can_ask_for_them(nursery: trio.Nursery) -> None:
    upstream = await start(nursery, ADDRESS)
    settings = Settings(nameservers=(str(upstream.server),), patience=0)
    service = NameService(settings, settings.policy(), lambda _event: None)
    nursery.start_soon(service.serve)
    with trio.fail_after(patience(10)):
        assert await service.lookup(WWW, fresh=False) == ["192.0.2.1"]
    nursery.cancel_scope.cancel()


async def test_a_datagram_comes_first() -> None:
    async with serving(ADDRESS) as (service, address):
        with trio.socket.socket(type=socket.SOCK_DGRAM) as sock:
            await sock.connect(address)
            await sock.send(QUERY)
            assert dns.message.from_wire(await sock.recv(512)).rcode() == dns.rcode.NOERROR
        assert service.synthetic.name_of(SYNTHETIC) == "www.example"


async def test_a_connection_comes_first() -> None:
    async with (
        serving(ADDRESS) as (_service, address),
        await trio.open_tcp_stream(*address) as stream,
    ):
        await stream.send_all(frame(QUERY))
        assert dns.message.from_wire((await stream.receive_some())[2:]).answer


async def test_a_failed_lookup_is_a_failed_dial() -> None:
    async with serving(says(rcode=dns.rcode.SERVFAIL)) as (service, _address):
        with pytest.raises(DialError, match="answered SERVFAIL") as caught:
            await service.lookup(WWW, fresh=False)
        assert not caught.value.is_final, "nothing is answered: an outage"


@pytest.mark.parametrize(
    ("script", "cause"),
    [
        (says(rcode=dns.rcode.NXDOMAIN), "does not exist any more"),
        (says(), "no IPv4 address"),
        (says(rcode=dns.rcode.REFUSED), "answered REFUSED"),
    ],
)
async def test_what_can_never_be_dialled_is_final(script: Script, cause: str) -> None:
    async with serving(script) as (service, _address):
        with pytest.raises(DialError, match=cause) as caught:
            await service.lookup(WWW, fresh=True)
        assert caught.value.is_final
        assert caught.value.kind is Kind.NAME_FAILURE


async def test_another_network_may_bear_edns() -> None:
    """What was found out about the resolvers is found out anew."""
    asked: list[int] = []

    async def script(each: Asked) -> None:
        asked.append(each.message.edns)
        await (ADDRESS if each.message.edns < 0 else says(rcode=dns.rcode.REFUSED))(each)

    async with serving(script) as (service, address):
        service.network_changed()  # before the first question
        for name in ("a.example", "b.example", "c.example"):
            query = dns.message.make_query(name, "TXT", use_edns=0)
            with trio.socket.socket(type=socket.SOCK_DGRAM) as sock:
                await sock.connect(address)
                await sock.send(query.to_wire())
                await sock.recv(512)
            if name == "b.example":
                service.network_changed()
    assert asked == [0, -1, -1, 0, -1]


@pytest.mark.parametrize("deny", ["*.evil.example", "a.evil.example:443"])
async def test_an_alias_that_is_denied_is_not_dialled(deny: str) -> None:
    chain = ("www.example 60 CNAME a.evil.example.", "a.evil.example 60 A 192.0.2.1")
    async with serving(says(*chain), (deny,)) as (service, _address):
        with pytest.raises(DeniedError, match="is denied: ") as caught:
            await service.lookup(WWW, fresh=False)
        assert (caught.value.denied.rule, caught.value.is_final) == (deny, True)
        if deny.endswith(":443"):
            assert await service.lookup(Destination("www.example", 80), fresh=False)
