"""A firewall that answers SYNs with ICMP, a moment later, as one does that is on another machine.

The kernel's own reject answers while connect(2) still runs and holds the socket: its TCP then
learns of it only from the second SYN, a second later.
"""

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from tests.support.internet.faults import drop
from tests.support.internet.links import Interface
from tests.support.internet.patterns import Packets

_IPV4: Final = 0x0800  # ETH_P_IP
_DESTINATION_UNREACHABLE: Final = 3  # RFC 792
_SYN, _ACK = 0x02, 0x10
_DELAY: Final = 0.002
"""Seconds after which the answer comes."""


@asynccontextmanager
async def answering(interface: Interface, network: str, code: int) -> AsyncIterator[None]:
    """Answer SYNs to `network`, an address, that come in by `interface` with this ICMP code."""
    host = interface.host
    with host:
        seen = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        answers = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    seen.bind((interface.name, _IPV4))
    seen.setblocking(False)
    with seen, answers, drop(host, Packets(destination=network, only_syn=True)):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_answer, seen, answers, socket.inet_aton(network), code)
            yield
            nursery.cancel_scope.cancel()


async def _answer(seen: socket.socket, answers: socket.socket, to: bytes, code: int) -> None:
    while True:
        await trio.lowlevel.wait_readable(seen)
        packet = seen.recv(1 << 16)
        header = (packet[0] & 0x0F) * 4
        is_syn = packet[9] == socket.IPPROTO_TCP and packet[header + 13] & (_SYN | _ACK) == _SYN
        if is_syn and packet[16:20] == to:
            await trio.sleep(_DELAY)
            message = _icmp(code, packet[: header + 8])
            answers.sendto(message, (socket.inet_ntoa(packet[12:16]), 0))


def _icmp(code: int, original: bytes) -> bytes:
    """Build destination unreachable with the packet it is about, RFC 792."""
    message = struct.pack("!BBHI", _DESTINATION_UNREACHABLE, code, 0, 0) + original
    return message[:2] + struct.pack("!H", _checksum(message)) + message[4:]


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))  # headers are of even length
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
