"""Questions to sock_diag: what is asked for, and each answer that there can be."""

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.inbound.inet_diag import inode, number_of, request, state


def answer(kind: int, body: bytes, number: int = 1) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, number, 0) + body


def test_a_request_names_both_ends() -> None:
    asked = request(("198.18.0.1", 40000), ("203.0.113.5", 443), 7)
    length, kind, flags, number = struct.unpack_from("=IHHI", asked)
    assert (length, kind, flags, number) == (len(asked), 20, 1, 7)
    assert asked[16:18] == bytes([2, 6])
    assert struct.unpack_from("!HH", asked, 24) == (40000, 443)
    assert asked[28:32] == bytes([198, 18, 0, 1])
    assert asked[44:48] == bytes([203, 0, 113, 5])


def test_a_request_names_both_ends_of_ipv6() -> None:
    asked = request(("::1", 40000), ("::1", 443), 7)
    assert asked[16:18] == bytes([10, 6])
    assert struct.unpack_from("!HH", asked, 24) == (40000, 443)
    assert asked[28:44] == asked[44:60] == bytes(15) + b"\1"


def test_a_state_is_read() -> None:
    assert state(answer(20, bytes([2, 7]) + bytes(70))) == 7


def test_an_owner_is_known_by_the_inode() -> None:
    orphan = bytes([2, 5]) + bytes(70)
    assert inode(answer(20, orphan)) == 0
    assert inode(answer(20, orphan[:68] + struct.pack("=I", 4711))) == 4711
    assert inode(answer(2, struct.pack("=i", -errno.ENOENT) + bytes(16))) == 0


def test_an_answer_has_the_number_of_its_question() -> None:
    assert number_of(answer(20, bytes(72), number=0xFFFFFFFF)) == 0xFFFFFFFF


def test_no_such_socket() -> None:
    assert state(answer(2, struct.pack("=i", -errno.ENOENT) + bytes(16))) is None


def test_a_kernel_that_cannot_look() -> None:
    with pytest.raises(OSError, match="could not look") as caught:
        state(answer(2, struct.pack("=i", -errno.ENOMEM) + bytes(16)))
    assert caught.value.errno == errno.ENOMEM


@given(st.binary(max_size=19))
def test_a_short_answer_is_no_state(data: bytes) -> None:
    with pytest.raises(OSError, match="short"):
        number_of(data)
