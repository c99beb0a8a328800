"""The name server on real sockets, with a fake resolver behind it.

async with serving(says("www.example 60 A 192.0.2.1")) as made:
    answer = await made.ask("www.example", "A")
"""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

import dns.message
import trio

from relay.dns.bounds.tally import Tally
from relay.dns.framing import Unframer, frame
from relay.dns.gate import Gate
from relay.dns.lookup.evidence import ResolverTimeouts
from relay.dns.lookup.resolver import Resolver
from relay.dns.nameserver import IP_PKTINFO, NameServer
from relay.dns.responder import Responder
from relay.dns.synthetic import SyntheticAddresses
from relay.policy.current import CurrentPolicy
from relay.policy.host_ports import HostItself
from relay.policy.policy import Policy
from relay.record.events import Event
from tests.support.inprocess.fake_resolver import FakeResolver, Script, says, start

SYNTHETIC = SyntheticAddresses.of().assign("www.example", 0).address
ADDRESS = says("www.example 60 A 192.0.2.1")
SOA = "example 60 SOA ns.example. admin.example. 1 7200 900 1209600 60"
TIMEOUTS = ResolverTimeouts(server=0.05, last=0.2, stale=0.05, outage=0, failing=0)
"""For a resolver that says nothing."""
PATIENT = ResolverTimeouts(server=60, last=60, stale=60, outage=60, failing=0)
"""For one that answers, on a busy machine too."""


@dataclass
class Bench:
    """A name server, what is behind it, and a program's way to it."""

    upstream: FakeResolver
    address: tuple[str, int]
    synthetic: SyntheticAddresses = field(default_factory=SyntheticAddresses.of)
    events: list[Event] = field(default_factory=list)
    policy: CurrentPolicy = field(default_factory=lambda: CurrentPolicy(Policy()))

    async def udp(self, wire: bytes) -> bytes:
        with trio.socket.socket(type=socket.SOCK_DGRAM) as sock, trio.fail_after(10):
            await sock.connect(self.address)
            await sock.send(wire)
            return await sock.recv(65535)

    async def tcp(self, wire: bytes) -> bytes:
        async with await self.connect() as stream:
            await stream.send_all(frame(wire))
            unframer, found = Unframer(), list[bytes]()
            with trio.fail_after(10):
                while not found:
                    found = unframer.feed(bytes(await stream.receive_some()))
        return found[0]

    async def ask(
        self, name: str = "www.example", rdtype: str = "A", **options: int
    ) -> dns.message.QueryMessage:
        query = dns.message.make_query(name, rdtype, **options)  # type: ignore[arg-type]
        return answer_to(query, await self.udp(query.to_wire()))

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream(*self.address)

    def recorded(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]


def answer_to(query: dns.message.Message, wire: bytes) -> dns.message.QueryMessage:
    message = dns.message.from_wire(wire)
    assert isinstance(message, dns.message.QueryMessage)
    assert query.is_response(message)
    return message


def addresses(message: dns.message.QueryMessage) -> list[str]:
    return [str(rdata) for rrset in message.answer for rdata in rrset]


def bound(kind: socket.SocketKind, address: tuple[str, int] = ("0.0.0.0", 0)) -> socket.socket:
    """Make a socket as the namespace hands it over."""
    sock = socket.socket(type=kind)
    if kind == socket.SOCK_DGRAM:
        sock.setsockopt(socket.SOL_IP, IP_PKTINFO, 1)
    sock.bind(address)
    sock.setblocking(False)
    return sock


DENYING = Policy(deny=["*.denied.example"])
HOST = HostItself("198.18.0.2", ("host.internal", "host.docker.internal"))


@asynccontextmanager
async def serving(
    script: Script,
    mode: Literal["synthetic", "real"] = "synthetic",
    timeouts: ResolverTimeouts = TIMEOUTS,
    synthetic: SyntheticAddresses | None = None,
    policy: Policy = DENYING,
) -> AsyncIterator[Bench]:
    tcp = bound(socket.SOCK_STREAM)
    tcp.listen()
    udp = bound(socket.SOCK_DGRAM, tcp.getsockname())
    async with trio.open_nursery() as nursery:
        address = ("127.0.0.1", tcp.getsockname()[1])
        names = synthetic if synthetic is not None else SyntheticAddresses.of()
        made = Bench(await start(nursery, script), address, names)
        made.policy = CurrentPolicy(policy)
        record = Tally(made.events.append)
        gate = Gate(made.policy, record)
        resolver = Resolver(lambda: (made.upstream.server,), record, nursery, timeouts, gate)
        answers = Responder(resolver, made.synthetic, made.policy, record, mode, HOST)
        nursery.start_soon(NameServer(answers, record).serve, udp, tcp)
        with udp, tcp:
            yield made
            nursery.cancel_scope.cancel()
