"""Packets of a held SYN: scapy, which knows the RFCs by itself, is at the other end."""

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP

from relay.inbound.held.segments import again, parse_syn, refused_end, reset, unreachable

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
