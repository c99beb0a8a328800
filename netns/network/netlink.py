"""Messages of netlink(7) by hand: a library for them takes longer to load than a session to start.

The kernel answers within send(2), so that what it has answered can be read at once.
"""

import os
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

SOCK_DIAG: Final = 4
NETFILTER: Final = 12
"""NETLINK_SOCK_DIAG and NETLINK_NETFILTER of <linux/netlink.h>."""

REQUEST: Final = 1
ACK: Final = 4
EXCLUSIVE: Final = 0x200
DUMP: Final = 0x300
CREATE: Final = 0x400
APPEND: Final = 0x800
"""NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_DUMP, NLM_F_CREATE and NLM_F_APPEND."""

NESTED: Final = 0x8000
"""NLA_F_NESTED, in the type of an attribute that holds others."""

NFTABLES: Final = 10
"""NFNL_SUBSYS_NFTABLES: the upper eight bits of the type of a message of nf_tables."""
_BATCH_BEGIN: Final = 0x10  # NFNL_MSG_BATCH_BEGIN
_BATCH_END: Final = 0x11

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_ERROR: Final = 2  # NLMSG_ERROR, an acknowledgement too
_DONE: Final = 3
_TYPE: Final = 0x3FFF  # NLA_TYPE_MASK
_ANSWERS: Final = 1 << 16


def attribute(kind: int, value: bytes) -> bytes:
    """Write an attribute, filled up to four bytes."""
    written = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
    return written + bytes(-len(written) % 4)


def message(kind: int, flags: int, body: bytes) -> bytes:
    """Write a message."""
    return _HEADER.pack(_HEADER.size + len(body), kind, REQUEST | flags, 0, 0) + body


def nfgenmsg(family: int, resource: int = 0) -> bytes:
    """Write what a message of nfnetlink begins with, struct nfgenmsg."""
    return struct.pack("!BBH", family, 0, resource)


def nftables_batch(messages: bytes) -> bytes:
    """Write messages of nf_tables as a batch, of which all are carried out, or none."""
    begin, end = (message(kind, 0, nfgenmsg(0, NFTABLES)) for kind in (_BATCH_BEGIN, _BATCH_END))
    return begin + messages + end


class Answer(NamedTuple):
    """What the kernel has answered."""

    acknowledged: int
    errno: int = 0
    """Of the first message that was refused."""
    refused: int = 0
    """The number of that message, numbered() has them."""


def numbered(messages: Sequence[bytes]) -> bytes:
    """Join the messages of a batch, numbered from 1 on, of which the last alone is acknowledged.

    An error is answered whatever was asked for. Acknowledgements of hundreds of messages would not
    fit into the socket's buffer: the kernel would carry the batch out, and report ENOBUFS.
    """
    joined = bytearray()
    for number, each in enumerate(messages, 1):
        length, kind, flags, _number, port = _HEADER.unpack_from(each)
        if number < len(messages):
            flags &= ~ACK
        joined += _HEADER.pack(length, kind, flags, number, port) + each[_HEADER.size :]
    return bytes(joined)


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


def attributes(data: bytes) -> dict[int, bytes]:
    """Read attributes, the last of each kind."""
    found, at = {}, 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _TYPE] = data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) // 4 * 4
    return found


def _messages(sock: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Yield kind, number and body of each message that is there."""
    for answer in _answers(sock):
        at = 0
        while at + _HEADER.size < len(answer):
            length, kind, _flags, number, _port = _HEADER.unpack_from(answer, at)
            yield kind, number, answer[at + _HEADER.size : at + length]
            at += (length + 3) // 4 * 4


def _answers(sock: socket.socket) -> list[bytes]:
    """Read all that is there."""
    answers = []
    while True:
        try:
            answers.append(sock.recv(_ANSWERS, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return answers
