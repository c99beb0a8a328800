"""Messages of nfnetlink_log: the packet is found among the attributes, whatever else comes."""

import struct

from hypothesis import example, given
from hypothesis import strategies as st

from relay.inbound.held.nflog import logged_packet

ATTRIBUTES = st.lists(st.tuples(st.integers(0, 30), st.binary(max_size=9)), max_size=5)


def message(attributes: list[tuple[int, bytes]], kind: int = 4 << 8) -> bytes:
    body = bytes(4)
    for number, value in attributes:
        attribute = struct.pack("=HH", 4 + len(value), number) + value
        body += attribute.ljust((len(attribute) + 3) // 4 * 4, b"\0")
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


@given(ATTRIBUTES, st.binary(max_size=50), ATTRIBUTES)
def test_the_payload_is_returned(
    before: list[tuple[int, bytes]], packet: bytes, after: list[tuple[int, bytes]]
) -> None:
    before = [each for each in before if each[0] != 9]
    assert logged_packet(message([*before, (9, packet), *after])) == packet


@given(st.binary(max_size=60))
@example(message([(1, b"x")]))
@example(message([(9, b"packet")], kind=2))
@example(message([])[:-2] + bytes(8))
def test_anything_else_has_no_packet_and_no_end(data: bytes) -> None:
    assert len(logged_packet(data)) <= len(data)


def test_a_message_without_a_packet() -> None:
    assert not logged_packet(message([(1, b"x")]))
    assert not logged_packet(message([(9, b"packet")], kind=2))
    assert not logged_packet(b"")
