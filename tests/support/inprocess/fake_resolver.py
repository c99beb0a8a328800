"""A resolver on loopback, UDP and TCP on one port, that says what a script says."""

import contextlib
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import trio

from relay.addresses import Destination
from relay.dns.framing import Unframer, frame


@dataclass
class Asked:
    """A query as it came, and the way back."""

    message: dns.message.Message
    tcp: bool
    send: Callable[[bytes], Awaitable[None]]
    hang_up: Callable[[], Awaitable[None]]
    peer: tuple[str, int]


Script = Callable[[Asked], Awaitable[None]]


@dataclass
class FakeResolver:
    """Where it is, and what it was asked."""

    server: Destination
    script: Script
    asked: list[Asked] = field(default_factory=list)

    async def hear(self, asked: Asked) -> None:
        self.asked.append(asked)
        await self.script(asked)


async def start(
    nursery: trio.Nursery, script: Script, address: tuple[str, int] = ("127.0.0.1", 0)
) -> FakeResolver:
    """Serve in the nursery."""
    tcp = trio.socket.socket()
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    await tcp.bind(address)
    tcp.listen()
    udp = trio.socket.socket(type=socket.SOCK_DGRAM)
    await udp.bind(tcp.getsockname())
    resolver = FakeResolver(Destination(*tcp.getsockname()), script)
    nursery.start_soon(_serve_udp, udp, resolver, nursery)
    nursery.start_soon(_serve_tcp, tcp, resolver)
    return resolver


async def _serve_udp(
    udp: trio.socket.SocketType, resolver: FakeResolver, nursery: trio.Nursery
) -> None:
    with udp:
        while True:
            wire, peer = await udp.recvfrom(65535)

            async def send(answer: bytes, peer: tuple[str, int] = peer) -> None:
                await udp.sendto(answer, peer)

            message = dns.message.from_wire(wire)
            asked = Asked(message, False, send, trio.lowlevel.checkpoint, peer)
            nursery.start_soon(resolver.hear, asked)


async def _serve_tcp(tcp: trio.socket.SocketType, resolver: FakeResolver) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        async def send(answer: bytes) -> None:
            await stream.send_all(frame(answer)[:1])
            await stream.send_all(frame(answer)[1:])

        unframer = Unframer()
        with contextlib.suppress(trio.BrokenResourceError):  # who asks may go away
            async for data in stream:
                for wire in unframer.feed(bytes(data)):
                    message = dns.message.from_wire(wire)
                    peer = stream.socket.getpeername()
                    await resolver.hear(Asked(message, True, send, stream.send_eof, peer))

    await trio.serve_listeners(serve, [trio.SocketListener(tcp)])


def response(
    query: dns.message.Message,
    *records: str,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
    authority: tuple[str, ...] = (),
    additional: tuple[str, ...] = (),
) -> dns.message.Message:
    """Make an answer from records written "name ttl type data"."""
    message = dns.message.make_response(query, recursion_available=True)
    message.set_rcode(rcode)
    message.answer = list(map(_record, records))
    message.authority = list(map(_record, authority))
    message.additional = list(map(_record, additional))
    return message


def _record(text: str) -> dns.rrset.RRset:
    name, ttl, rdtype, data = text.split(" ", 3)
    return dns.rrset.from_text(f"{name}.", int(ttl), "IN", rdtype, data)


def says(
    *records: str,
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
    authority: tuple[str, ...] = (),
    additional: tuple[str, ...] = (),
) -> Script:
    """Make a script that always gives the same answer."""

    async def script(asked: Asked) -> None:
        message = response(
            asked.message, *records, rcode=rcode, authority=authority, additional=additional
        )
        await asked.send(message.to_wire(max_size=65535))

    return script


def truncated(script: Script) -> Script:
    """Make a script that answers so over TCP, and with TC and nothing else over UDP."""

    async def udp_or_tcp(asked: Asked) -> None:
        if asked.tcp:
            await script(asked)
            return
        message = response(asked.message)
        message.flags |= dns.flags.TC
        await asked.send(message.to_wire())

    return udp_or_tcp


async def silent(_asked: Asked) -> None:
    """Say nothing."""
