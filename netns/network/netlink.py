"""Questions to the kernel over netlink(7), and its answers.

The kernel answers within send(2), so that what it has answered can be read at once.
"""

import os
import socket
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from netns.network.nlmsg import DUMP, HEADER, message

SOCK_DIAG: Final = 4
NETFILTER: Final = 12
"""NETLINK_SOCK_DIAG and NETLINK_NETFILTER of <linux/netlink.h>."""

_ERROR: Final = 2  # NLMSG_ERROR, an acknowledgement too
_DONE: Final = 3
_ANSWERS: Final = 1 << 16


class Answer(NamedTuple):
    """What the kernel has answered."""

    acknowledged: int
    errno: int = 0
    """Of the first message that was refused."""
    refused: int = 0
    """The number of that message, numbered() has them."""


def ask(sock: socket.socket, messages: bytes) -> int:
    """Send messages; return how many were acknowledged, or raise the first error, OSError."""
    answer = answered(sock, messages)
    if answer.errno:
        raise OSError(answer.errno, os.strerror(answer.errno))
    return answer.acknowledged


def answered(sock: socket.socket, messages: bytes) -> Answer:
    """Send messages; return how they were answered.

    What was not read of an earlier answer is thrown away before: it belongs to nobody any more.
    """
    _answers(sock)
    sock.send(messages)
    acknowledged = 0
    for kind, number, body in _messages(sock):
        if kind == _ERROR:
            errno = -struct.unpack_from("=i", body)[0]
            if errno:
                return Answer(acknowledged, errno, number)
            acknowledged += 1
    return Answer(acknowledged)


def dump(sock: socket.socket, kind: int, body: bytes) -> list[bytes]:
    """Ask for all of a kind; return the bodies of what is there, or raise OSError."""
    _answers(sock)
    sock.send(message(kind, DUMP, body))
    bodies = []
    for answer, _number, each in _messages(sock):
        if answer in (_ERROR, _DONE):
            errno = -struct.unpack_from("=i", each)[0]
            if errno:
                raise OSError(errno, os.strerror(errno))
        else:
            bodies.append(each)
    return bodies


def _messages(sock: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Yield kind, number and body of each message that is there."""
    for answer in _answers(sock):
        at = 0
        while at + HEADER.size < len(answer):
            length, kind, _flags, number, _port = HEADER.unpack_from(answer, at)
            yield kind, number, answer[at + HEADER.size : at + length]
            at += (length + 3) // 4 * 4


def _answers(sock: socket.socket) -> list[bytes]:
    """Read all that is there."""
    answers = []
    while True:
        try:
            answers.append(sock.recv(_ANSWERS, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return answers
