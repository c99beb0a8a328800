"""A name server for a `Zone`, over UDP and TCP, on one address of a host."""

import struct
from typing import Final, Literal

import dns.exception
import dns.flags
import dns.message
import trio

from tests.support.internet.hosts import Host

from .listening import listen, serve
from .zone import Zone

_PORT: Final = 53
_PLAIN_UDP: Final = 512  # without EDNS, RFC 1035
_LENGTH: Final = struct.Struct("!H")


async def serve_names(
    host: Host,
    address: str,
    zone: Zone,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer for ever; `nursery.start` returns when questions can come."""
    family = trio.socket.AF_INET6 if ":" in address else trio.socket.AF_INET
    with host:
        datagrams = trio.socket.socket(family, trio.socket.SOCK_DGRAM)
    with datagrams:
        await datagrams.bind((address, _PORT))

        async def connection(stream: trio.SocketStream) -> None:
            await _answer_stream(stream, zone)

        async with trio.open_nursery() as nursery:
            await nursery.start(serve, connection, listen(host, address, _PORT))
            nursery.start_soon(_answer_datagrams, datagrams, zone)
            task_status.started()


async def _answer_datagrams(datagrams: trio.socket.SocketType, zone: Zone) -> None:
    async with trio.open_nursery() as nursery:
        while True:
            packet, sender = await datagrams.recvfrom(65535)
            nursery.start_soon(_answer_datagram, datagrams, packet, sender, zone)


async def _answer_datagram(
    datagrams: trio.socket.SocketType, packet: bytes, sender: tuple[object, ...], zone: Zone
) -> None:
    query = _parse(packet)
    if query is None:
        return
    zone.note(query, "udp")
    response = await _answer_in_time(query, zone, "udp")
    if response is None:
        return
    room = max(query.payload, _PLAIN_UDP)
    wire = response.to_wire(max_size=65535)
    if len(wire) > room:
        response.answer.clear()
        response.flags |= dns.flags.TC  # the asker comes back over TCP
        wire = response.to_wire()
    spoil = zone.trouble_with(query).spoil
    if spoil is not None:
        wire = spoil(wire)
    await datagrams.sendto(wire, sender)


async def _answer_stream(stream: trio.SocketStream, zone: Zone) -> None:
    data = bytearray()
    while True:
        while len(data) < _LENGTH.size or len(data) < _LENGTH.size + _LENGTH.unpack_from(data)[0]:
            received = await stream.receive_some()
            if not received:
                return
            data += received
        end = _LENGTH.size + _LENGTH.unpack_from(data)[0]
        query = _parse(bytes(data[_LENGTH.size : end]))
        del data[:end]
        if query is None:
            return
        zone.note(query, "tcp")
        response = await _answer_in_time(query, zone, "tcp")
        if response is not None:
            wire = response.to_wire(max_size=65535)
            await stream.send_all(_LENGTH.pack(len(wire)) + wire)


def _parse(packet: bytes) -> dns.message.Message | None:
    """Read a query; junk is ignored, as by most name servers."""
    try:
        query = dns.message.from_wire(packet)
    except dns.exception.DNSException:
        return None
    return query if len(query.question) == 1 else None


async def _answer_in_time(
    query: dns.message.Message, zone: Zone, transport: Literal["udp", "tcp"]
) -> dns.message.Message | None:
    """Answer after the delay the zone wants, or not at all."""
    trouble = zone.trouble_with(query, transport)
    if trouble.silent:
        return None
    if trouble.delay:
        await trio.sleep(trouble.delay)
    return zone.answer(query, trouble)
