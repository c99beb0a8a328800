"""Packets of a held SYN: scapy, which knows the RFCs by itself, is at the other end."""

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.inet6 import IPv6

from relay.inbound.held.segments import (
    again,
    end_of_time_wait,
    parse_syn,
    refused_end,
    reset,
    unreachable,
)

ADDRESSES = st.ip_addresses(v=4).map(str)
PORTS = st.integers(1, 65535)
SEQUENCES = st.integers(0, 0xFFFFFFFF)
OPTIONS = st.sampled_from(
    [
        [],
        [("MSS", 65495), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)],
        [("TFO", b"\1\2\3\4\5\6\7\x08")],
    ]
)
IP_OPTIONS = st.sampled_from([[], [b"\x94\x04\0\0"]])  # router alert


def syn(**fields: Any) -> bytes:
    given = {"sport": 40000, "dport": 443, "seq": 7, "flags": "S", **fields}
    at = {"src": "198.18.0.1", "dst": "203.0.113.5", "options": given.pop("ip_options", [])}
    payload = given.pop("payload", b"")
    return bytes(IP(**at | given.pop("ip", {})) / TCP(**given) / payload)


SOURCES = st.tuples(ADDRESSES, PORTS)
DESTINATIONS = st.tuples(ADDRESSES, st.just(0) | PORTS)


@given(SOURCES, DESTINATIONS, SEQUENCES, OPTIONS, IP_OPTIONS)
def test_a_syn_is_read_and_sent_again(
    source: tuple[str, int],
    destination: tuple[str, int],
    sequence: int,
    options: list[Any],
    ip_options: list[Any],
) -> None:
    ip = {"src": source[0], "dst": destination[0], "options": ip_options}
    fields = {"sport": source[1], "dport": destination[1], "seq": sequence, "options": options}
    packet = syn(**fields, ip=ip, payload=b"early data")
    at = (packet[0] & 0xF) * 4
    partial = packet[: at + 16] + b"\x12\x34" + packet[at + 18 :]  # as lo leaves the checksum
    read = parse_syn(partial)
    assert read is not None
    assert read[:3] == (source, destination, sequence)
    sent = IP(again(read))
    whole = IP(syn(**fields, ip=ip))
    assert bytes(sent[TCP]) == bytes(whole[TCP]), "the checksum too"
    assert sent.len == len(bytes(sent))


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        syn()[:39],
        syn(flags="SA"),
        syn(flags="SR"),
        syn(flags="A"),
        syn(sport=0),
        syn(ip={"proto": socket.IPPROTO_UDP}),
        syn(ip={"version": 6}),
        syn(ip={"ihl": 4}),
        syn(ip={"ihl": 15}),
        syn(dataofs=4),
        syn(dataofs=15),
        syn(ip={"flags": "MF"}),
        syn(ip={"frag": 1}),
    ],
)
def test_what_is_no_whole_syn_is_none(packet: bytes) -> None:
    assert parse_syn(packet) is None


@given(st.binary(max_size=120))
def test_nothing_else_raises(packet: bytes) -> None:
    parse_syn(packet)
    parse_syn(syn()[:9] + packet)


@given(SEQUENCES, IP_OPTIONS)
def test_a_reset_is_one_to_this_syn(sequence: int, ip_options: list[Any]) -> None:
    read = parse_syn(syn(seq=sequence, ip={"options": ip_options}))
    assert read is not None
    packet = reset(read)
    sent = IP(packet)
    assert (sent.src, sent.dst) == ("203.0.113.5", "198.18.0.1")
    assert (sent[TCP].sport, sent[TCP].dport) == (443, 40000)
    assert str(sent[TCP].flags) == "RA"
    assert sent[TCP].ack == (sequence + 1) % 2**32
    assert_checksum_is_right(sent, TCP)


@pytest.mark.parametrize("code", [0, 1, 2, 9, 10, 13])
def test_an_unreachable_message_quotes_the_syn(code: int) -> None:
    read = parse_syn(syn())
    assert read is not None
    sent = IP(unreachable(read, code))
    assert (sent.src, sent.dst) == ("203.0.113.5", "198.18.0.1")
    assert (sent[ICMP].type, sent[ICMP].code) == (3, code)
    assert bytes(sent[ICMP].payload) == syn()[:28]
    assert_checksum_is_right(sent, ICMP)


def assert_checksum_is_right(packet: Any, layer: Any) -> None:
    """Have scapy make the checksum anew."""
    found = packet[layer].chksum
    del packet[layer].chksum
    assert IP(bytes(packet))[layer].chksum == found


LO = {"src": "127.0.0.1", "dst": "127.0.0.1"}


def test_a_refusal_on_loopback_tells_of_which_end() -> None:
    packet = syn(sport=5432, dport=40000, seq=0, ack=8, flags="RA", ip=LO)
    assert refused_end(packet) == ("127.0.0.1", 5432)
    assert refused_end(memoryview(packet)) == ("127.0.0.1", 5432)


def test_a_refusal_on_loopback_of_ipv6_too() -> None:
    ends = {"sport": 5432, "dport": 40000, "ack": 8, "flags": "RA"}
    packet = bytes(IPv6(src="::1", dst="::1") / TCP(seq=0, **ends))
    assert refused_end(packet) == ("::1", 5432)
    assert refused_end(bytes(IPv6(src="::1", dst="::1") / TCP(seq=1, **ends))) is None
    assert refused_end(bytes(IPv6(src="::2", dst="::1") / TCP(seq=0, **ends))) is None


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        syn(seq=0, flags="RA"),
        syn(seq=9, flags="RA", ip=LO),
        syn(seq=0, flags="R", ip=LO),
        syn(seq=0, flags="S", ip=LO),
        syn(seq=0, flags="RA", ip=LO)[:30],
        bytes(IP(**LO) / ICMP() / bytes(20)),
    ],
)
def test_what_is_no_refusal_on_loopback(packet: bytes) -> None:
    assert refused_end(packet) is None


# IPv6, to loopback alone


def syn_ipv6(**fields: Any) -> bytes:
    ends = {"src": "::1", "dst": "::1", "fl": 7, **fields.pop("ip", {})}
    given = {"sport": 40000, "dport": 443, "seq": 7, "flags": "S", **fields}
    payload = given.pop("payload", b"")
    return bytes(IPv6(**ends) / TCP(**given) / payload)


@given(PORTS, PORTS, SEQUENCES, OPTIONS)
def test_a_syn_over_ipv6_is_read_sent_again_and_reset(
    source: int, port: int, sequence: int, options: list[Any]
) -> None:
    fields = {"sport": source, "dport": port, "seq": sequence, "options": options}
    packet = syn_ipv6(**fields, payload=b"early data")
    partial = packet[:56] + b"\x12\x34" + packet[58:]  # as lo leaves the checksum
    read = parse_syn(partial)
    assert read is not None
    assert read[:3] == (("::1", source), ("::1", port), sequence)
    assert again(read) == syn_ipv6(**fields), "length and checksum too"
    expected = IPv6(src="::1", dst="::1", hlim=64) / TCP(
        sport=port, dport=source, seq=0, ack=(sequence + 1) & 0xFFFFFFFF, flags="RA", window=0
    )
    assert reset(read) == unreachable(read, 13) == bytes(expected)


@pytest.mark.parametrize(
    "packet",
    [
        syn_ipv6()[:59],
        syn_ipv6(flags="SA"),
        syn_ipv6(ip={"nh": socket.IPPROTO_UDP}),
        syn_ipv6(ip={"dst": "2001:db8::1"}),
        syn_ipv6(ip={"src": "2001:db8::1"}),
        syn_ipv6(dataofs=15),
    ],
)
def test_what_is_no_whole_syn_to_the_loopback_of_ipv6_is_none(packet: bytes) -> None:
    assert parse_syn(packet) is None


@given(SEQUENCES, st.integers(0, 1 << 40))
def test_what_ends_a_time_wait_comes_from_the_program(sequence: int, received: int) -> None:
    """Its number is that behind the SYN, the bytes and the FIN."""
    following = (sequence + 1 + received + 1) & 0xFFFFFFFF
    fields = {"sport": 40000, "dport": 443, "seq": following, "ack": 0, "flags": "R", "window": 0}
    over_ipv4 = parse_syn(syn(seq=sequence))
    over_ipv6 = parse_syn(syn_ipv6(seq=sequence))
    assert over_ipv4 is not None
    assert over_ipv6 is not None
    sent = IP(end_of_time_wait(over_ipv4, received))
    assert (sent.src, sent.dst) == ("198.18.0.1", "203.0.113.5")
    whole = IP(bytes(IP(src=sent.src, dst=sent.dst) / TCP(**fields)))
    assert bytes(sent[TCP]) == bytes(whole[TCP])
    expected = IPv6(src="::1", dst="::1", hlim=64) / TCP(**fields)
    assert end_of_time_wait(over_ipv6, received) == bytes(expected)
