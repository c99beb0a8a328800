"""TCP and ICMP for a SYN that is held: read it, send it again, refuse it; RFC 791, 792, 8200, 9293.

Pure: packets are bytes from the IP header on.
"""

import struct
from typing import Final, NamedTuple

from relay.addresses import Endpoint

_TCP: Final = 6
_ICMP: Final = 1
_DESTINATION_UNREACHABLE: Final = 3
_SYN: Final = 0x02
_RST: Final = 0x04
_ACK: Final = 0x10
_LOOPBACK: Final = 127
"""The first byte of its addresses."""
_TTL: Final = 64
_DONT_FRAGMENT: Final = 0x4000
_IP_HEADER: Final = 20
_IPV6_HEADER: Final = 40
_IPV6_LOOPBACK: Final = bytes(15) + b"\1"
_NEXT_HEADER: Final = 6
"""Where the protocol stands in IPv6's header; the bytes before are version, flow and length."""
_TCP_HEADER: Final = 20
_QUOTED: Final = 8
"""Bytes of the datagram that an ICMP error quotes behind the IP header, RFC 792."""

_WORDS: Final = [struct.Struct(f"!{count}H") for count in range(65)]
"""How to read so many 16-bit words, up to two headers of 60 bytes with a pseudo header."""


class Syn(NamedTuple):
    """The first segment of a connect()."""

    source: Endpoint
    destination: Endpoint
    sequence: int
    """Its sequence number, which another connect() of the same ends does not have."""
    packet: bytes
    """Both headers; what data came with it (TCP Fast Open, RFC 7413) is left to be retransmitted.

    Its TCP checksum is whatever the device left there: on lo only a part of it."""


def parse_syn(packet: bytes | memoryview) -> Syn | None:
    """Read a packet; None if it is not a whole SYN that could be answered.

    It is one over IPv4, or over IPv6 to loopback, which is all that IPv6 leads to here. Port 0 is a
    destination like any other: whoever has it refuses.
    """
    if not (at := _segment_at(packet)):
        return None
    end = at + (packet[at + 12] >> 4) * 4
    flags = packet[at + 13] & (_SYN | _ACK | _RST)
    if end < at + _TCP_HEADER or len(packet) < end or flags != _SYN:
        return None
    source_port, port, sequence = struct.unpack_from("!HHI", packet, at)
    if not source_port:
        return None
    if at == _IPV6_HEADER and packet[0] >> 4 == 6:
        source = destination = "::1"
    else:
        source, destination = _dotted(packet[12:16]), _dotted(packet[16:20])
    return Syn((source, source_port), (destination, port), sequence, bytes(packet[:end]))


def _segment_at(packet: bytes | memoryview) -> int:
    """Return where a TCP segment begins, of which the header's fixed part is here; 0 if none is."""
    if len(packet) < _IP_HEADER + _TCP_HEADER:
        return 0
    if packet[0] >> 4 == 6:
        is_segment = (
            len(packet) >= _IPV6_HEADER + _TCP_HEADER
            and packet[_NEXT_HEADER] == _TCP
            and packet[8:40] == _IPV6_LOOPBACK * 2
        )
        return _IPV6_HEADER if is_segment else 0
    at = (packet[0] & 0xF) * 4
    if packet[0] >> 4 != 4 or packet[9] != _TCP or _is_fragment(packet):
        return 0
    return at if at >= _IP_HEADER and len(packet) >= at + _TCP_HEADER else 0


def refused_end(packet: bytes | memoryview) -> Endpoint | None:
    """Return which end of loopback refuses a connection by this packet; None if none does.

    It is a RST that answers a SYN: with ACK, and sequence number 0, RFC 9293 section 3.5.2.
    """
    if not (at := _segment_at(packet)) or packet[at + 13] != _RST | _ACK:
        return None
    port, _source_port, sequence = struct.unpack_from("!HHI", packet, at)
    if sequence:
        return None
    if packet[0] >> 4 == 6:
        return "::1", port
    return (_dotted(packet[12:16]), port) if packet[12] == _LOOPBACK else None


def _is_fragment(packet: bytes | memoryview) -> bool:
    """Return whether there is more of it elsewhere: MF, or an offset."""
    return bool((packet[6] << 8 | packet[7]) & 0x3FFF)


def _dotted(packed: bytes | memoryview) -> str:
    return ".".join(map(str, packed))


def again(syn: Syn) -> bytes:
    """Return the packet with a checksum that is whole, as a raw socket sends it.

    The kernel fills the length and checksum of IPv4's header in, raw(7).
    """
    packet = syn.packet
    at, addresses = _headers(syn)
    segment = bytearray(packet[at:])
    segment[16:18] = b"\0\0"
    segment[16:18] = _tcp_checksum(addresses, segment)
    if is_ipv6(syn):
        return packet[:4] + struct.pack("!H", len(segment)) + packet[6:at] + segment
    return packet[:2] + struct.pack("!H", len(packet)) + packet[4:at] + segment


def reset(syn: Syn) -> bytes:
    """Return the packet that says that nobody listens there, RFC 9293 section 3.5.2."""
    at, addresses = _headers(syn)
    half = len(addresses) // 2
    ports = syn.packet[at + 2 : at + 4] + syn.packet[at : at + 2]
    flags = _RST | _ACK
    return _bare_segment(addresses[half:] + addresses[:half], ports, 0, syn.sequence + 1, flags)


def end_of_time_wait(syn: Syn, received: int) -> bytes:
    """Return the packet that ends a TIME_WAIT of the destination's socket: RFC 1337 section 2.

    A RST with the sequence number that is next does. That is the one behind the program's SYN, the
    bytes that were `received` from it, and its FIN.
    """
    at, addresses = _headers(syn)
    return _bare_segment(addresses, syn.packet[at : at + 4], syn.sequence + received + 2, 0, _RST)


def is_ipv6(syn: Syn) -> bool:
    """Return whether it came over IPv6."""
    return syn.packet[0] >> 4 == 6


def _headers(syn: Syn) -> tuple[int, bytes]:
    """Return where the segment begins, and the addresses, source first."""
    if is_ipv6(syn):
        return _IPV6_HEADER, syn.packet[8:_IPV6_HEADER]
    return (syn.packet[0] & 0xF) * 4, syn.packet[12:20]


def _bare_segment(
    addresses: bytes, ports: bytes, sequence: int, acknowledged: int, flags: int
) -> bytes:
    """Return a packet without options and data."""
    numbers = struct.pack("!II", sequence & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF)
    rest = struct.pack("!BBHHH", (_TCP_HEADER // 4) << 4, flags, 0, 0, 0)
    segment = bytearray(ports + numbers + rest)
    segment[16:18] = _tcp_checksum(addresses, segment)
    return _ip_header(_TCP, addresses, len(segment)) + segment


def unreachable(syn: Syn, code: int) -> bytes:
    """Return the ICMP destination-unreachable message with this code, from the destination.

    Over IPv6, where none is ever needed, it is a reset.
    """
    if is_ipv6(syn):
        return reset(syn)
    packet = syn.packet
    at = (packet[0] & 0xF) * 4
    message = bytearray(struct.pack("!BBHI", _DESTINATION_UNREACHABLE, code, 0, 0))
    message += packet[: at + _QUOTED]
    message[2:4] = _checksum(message)
    return _ip_header(_ICMP, packet[16:20] + packet[12:16], len(message)) + message


def _ip_header(protocol: int, addresses: bytes, length: int) -> bytes:
    """Return a header without options; the kernel fills IPv4's identification and checksum in."""
    if len(addresses) > 2 * 4:
        return struct.pack("!IHBB", 6 << 28, length, protocol, _TTL) + addresses
    head = (0x45, 0, _IP_HEADER + length, 0, _DONT_FRAGMENT, _TTL, protocol, 0)
    return struct.pack("!BBHHHBBH", *head) + addresses


def _tcp_checksum(addresses: bytes, segment: bytearray) -> bytes:
    """Return the checksum over the pseudo header and a segment whose own field is zero."""
    return _checksum(addresses + struct.pack("!HH", _TCP, len(segment)) + segment)


def _checksum(data: bytes | bytearray) -> bytes:
    """Return the Internet checksum of an even number of bytes, RFC 1071."""
    total: int = sum(_WORDS[len(data) // 2].unpack(data))
    total = (total >> 16) + (total & 0xFFFF)
    return (~(total + (total >> 16)) & 0xFFFF).to_bytes(2, "big")
