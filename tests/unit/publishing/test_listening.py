"""Questions for what listens, and the answers: several parts, attributes, errors, rubbish."""

import contextlib
import errno
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.publishing.listening import AF_INET, AF_INET6, Listening, read, request


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 2, 0, 0) + body + bytes(-len(body) % 4)


def listens(address: str, port: int, inode: int = 1, attributes: bytes = b"") -> bytes:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address).ljust(16, b"\0")
    ends = struct.pack("!HH", port, 0) + packed + bytes(16 + 4 + 8)
    body = bytes([family, 10, 0, 0]) + ends + struct.pack("=5I", 0, 0, 0, 0, inode)
    return message(20, body + attributes)


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


DONE = message(3, bytes(4))


def test_a_request_is_for_all_that_listen() -> None:
    for family in (AF_INET, AF_INET6):
        asked = request(family)
        length, kind, flags = struct.unpack_from("=IHH", asked)
        assert (length, kind, flags) == (len(asked), 20, 0x301) == (72, 20, 0x301)
        assert asked[16:18] == bytes([family, 6])
        assert struct.unpack_from("=I", asked, 20) == (1 << 10,)


def test_sockets_are_read_until_the_end() -> None:
    part = listens("127.0.0.1", 80) + listens("::1", 81) + listens("0.0.0.0", 82, inode=7)
    assert list(read(part, {7})) == [Listening("127.0.0.1", 80), Listening("::1", 81)]
    assert list(read(listens("::", 83) + DONE, ())) == [Listening("::", 83), None]


def test_an_ipv6_socket_of_ipv4_is_what_it_is() -> None:
    assert list(read(listens("::ffff:127.0.0.2", 80), ())) == [Listening("127.0.0.2", 80)]


@pytest.mark.parametrize("value", [0, 1])
def test_a_socket_may_take_ipv6_alone(value: int) -> None:
    attributes = attribute(8, b"abc") + attribute(11, bytes([value]))
    assert list(read(listens("::", 80, attributes=attributes), ())) == [
        Listening("::", 80, bool(value))
    ]


def test_an_error_is_raised() -> None:
    with pytest.raises(OSError, match="could not look") as caught:
        list(read(message(2, struct.pack("=i", -errno.ENOENT) + bytes(16)), ()))
    assert caught.value.errno == errno.ENOENT


@given(st.binary(max_size=300), st.integers(0, 200))
def test_rubbish_ends(rubbish: bytes, cut: int) -> None:
    """The kernel is trusted; a part that ends early is no endless loop all the same."""
    whole = listens("::", 80, attributes=attribute(11, b"\1")) + rubbish
    for each in (whole[:cut], rubbish):
        with contextlib.suppress(OSError, struct.error):
            assert len(list(read(each, ()))) <= len(each)
