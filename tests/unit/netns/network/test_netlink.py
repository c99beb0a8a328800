"""Messages of netlink are whole, and its errors raised."""

import os
import socket
import struct

import pytest

from netns.network import netlink, nlmsg


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (b"", b"\4\0\7\0"),
        (b"abcd", b"\10\0\7\0abcd"),
        (b"a", b"\5\0\7\0a\0\0\0"),
    ],
)
def test_an_attribute_is_filled_up_but_its_length_is_not(value: bytes, written: bytes) -> None:
    assert nlmsg.attribute(7, value) == written


def test_a_message_knows_its_length_and_asks() -> None:
    assert nlmsg.message(3, nlmsg.ACK, b"body") == struct.pack("=IHHII", 20, 3, 5, 0, 0) + b"body"


def test_attributes_are_read_up_to_one_that_has_no_length() -> None:
    written = nlmsg.attribute(7, b"a") + nlmsg.attribute(8 | nlmsg.NESTED, b"bc")
    assert nlmsg.attributes(written) == {7: b"a", 8: b"bc"}
    assert nlmsg.attributes(written + bytes(4) + written) == {7: b"a", 8: b"bc"}


def test_of_a_batch_the_last_message_alone_is_acknowledged() -> None:
    asked = [nlmsg.message(3, nlmsg.CREATE | nlmsg.ACK, bytes([n]) * 4) for n in range(3)]
    joined = nlmsg.numbered(asked)
    found = [struct.unpack_from("=IHHII", joined, at) for at in range(0, len(joined), 20)]
    assert [(length, kind, number) for length, kind, _flags, number, _port in found] == [
        (20, 3, 1),
        (20, 3, 2),
        (20, 3, 3),
    ]
    made = nlmsg.REQUEST | nlmsg.CREATE
    assert [each[2] for each in found] == [made, made, made | nlmsg.ACK]
    assert [joined[at + 16] for at in range(0, len(joined), 20)] == [0, 1, 2]


def test_the_first_error_of_an_answer_is_raised() -> None:
    ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, kernels:
        answers = [struct.pack("=IHHIIi16x", 36, 2, 0, 0, 0, -number) for number in (0, 1, 2)]
        stale = struct.pack("=IHHIIi16x", 36, 2, 0, 0, 0, -13)
        kernels.send(stale)
        assert netlink.ask(ours, b"first") == 0  # what was left of an earlier one is nobody's
        done = _Answering(ours, answers[0] * 3)
        assert netlink.ask(done, b"all of it") == 3  # type: ignore[arg-type]
        asked = _Answering(ours, b"".join(answers))
        with pytest.raises(PermissionError if os.strerror(1) else OSError):
            netlink.ask(asked, b"second")  # type: ignore[arg-type]


class _Answering:
    """A socket of a kernel that answers within send(2)."""

    def __init__(self, sock: socket.socket, answer: bytes) -> None:
        self.sock = sock
        self.answers: list[bytes] = []
        self.answer = answer

    def send(self, _data: bytes) -> None:
        self.answers.append(self.answer)

    def recv(self, _size: int, _flags: int) -> bytes:
        if not self.answers:
            raise BlockingIOError
        return self.answers.pop()
