"""A relay may be started again: what programs know of it stays, and its end is no fault."""

import socket
from collections.abc import Iterator

import dns.message
import pytest
import trio
import trio.testing

from netns.handoff import Listeners
from relay.addresses import Endpoint
from relay.barrier import kept_running
from relay.config import Settings
from relay.descriptors import SPARE
from relay.dns.nameserver import IP_PKTINFO
from relay.gateway.setup.prepare import Without
from relay.namespace import ways_in
from relay.record.events import Event, Fault
from relay.server import Relay
from tests.support.inprocess.fake_resolver import says, start
from tests.support.inprocess.offers import sock_diag
from tests.support.pace import patience


@pytest.fixture
def listeners() -> Iterator[Listeners]:
    tcp, dns_tcp = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    udp = socket.socket(type=socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_IP, IP_PKTINFO, 1)
    udp.bind(dns_tcp.getsockname())
    diag = sock_diag()
    for sock in (tcp, dns_tcp, udp, diag):
        sock.setblocking(False)
    made = Listeners("tproxy", [tcp], udp, dns_tcp, diag, None)
    yield made
    made.close()
    SPARE.keep(0)


async def synthetic(name_server: Endpoint, name: str) -> str:
    """Ask for a name, as a program does."""
    with trio.socket.socket(type=socket.SOCK_DGRAM) as sock, trio.fail_after(patience(10)):
        await sock.connect(name_server)
        await sock.send(dns.message.make_query(name, "A").to_wire())
        answer = dns.message.from_wire(await sock.recv(512))
    return str(answer.answer[0][0])


async def test_a_relay_that_is_started_again_knows_its_names_and_numbers(
    listeners: Listeners, nursery: trio.Nursery
) -> None:
    upstream = await start(nursery, says("www.example 60 A 192.0.2.1"))
    events: list[Event] = []
    settings = Settings(nameservers=(str(upstream.server),), patience=0)
    relay = Relay(settings, ways_in(listeners), events.append, Without("off", by_choice=True))
    faults = [trio.Event()]

    async def serve() -> None:
        async with trio.open_nursery() as parts:
            parts.start_soon(relay.serve)
            if faults:
                await faults.pop().wait()
                raise KeyError("a defect")

    nursery.start_soon(kept_running, events.append, "relay", serve)
    address = listeners.dns_udp.getsockname()
    breaks = faults[0]
    first = await synthetic(address, "www.example")
    number = relay.standing.number()
    breaks.set()
    await trio.testing.wait_all_tasks_blocked()
    await relay.finish()  # it rests just now: there is nothing to relay
    assert await synthetic(address, "www.example") == first
    assert relay.standing.number() == number + 1
    (fault,) = [event for event in events if isinstance(event, Fault)]
    assert (fault.where, fault.error) == ("relay", "KeyError")
    await relay.finish()
    nursery.cancel_scope.cancel()
