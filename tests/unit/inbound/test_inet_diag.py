"""Questions to sock_diag: what is asked for, and each answer that there can be."""

import errno
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.inbound.inet_diag import request, state


def answer(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def test_a_request_names_both_ends() -> None:
    asked = request(("198.18.0.1", 40000), ("203.0.113.5", 443))
    length, kind, flags = struct.unpack_from("=IHH", asked)
    assert (length, kind, flags) == (len(asked), 20, 1)
    assert asked[16:18] == bytes([2, 6])
    assert struct.unpack_from("!HH", asked, 24) == (40000, 443)
    assert asked[28:32] == bytes([198, 18, 0, 1])
    assert asked[44:48] == bytes([203, 0, 113, 5])


def test_a_state_is_read() -> None:
    assert state(answer(20, bytes([2, 7]) + bytes(70))) == 7


def test_no_such_socket() -> None:
    assert state(answer(2, struct.pack("=i", -errno.ENOENT) + bytes(16))) is None


def test_a_kernel_that_cannot_look() -> None:
    with pytest.raises(OSError, match="could not look") as caught:
        state(answer(2, struct.pack("=i", -errno.ENOMEM) + bytes(16)))
    assert caught.value.errno == errno.ENOMEM


@given(st.binary(max_size=19))
def test_a_short_answer_is_no_state(data: bytes) -> None:
    with pytest.raises(OSError, match="short"):
        state(data)
