"""Messages of netlink(7) by hand: a library for them takes longer to load than a session to start.

The kernel answers within send(2), so that what it has answered can be read at once.
"""

import os
import socket
import struct
from typing import Final

SOCK_DIAG: Final = 4
NETFILTER: Final = 12
"""NETLINK_SOCK_DIAG and NETLINK_NETFILTER of <linux/netlink.h>."""

REQUEST: Final = 1
ACK: Final = 4
CREATE: Final = 0x400
"""NLM_F_REQUEST, NLM_F_ACK and NLM_F_CREATE."""

NESTED: Final = 0x8000
"""NLA_F_NESTED, in the type of an attribute that holds others."""

NFTABLES: Final = 10
"""NFNL_SUBSYS_NFTABLES: the upper eight bits of the type of a message of nf_tables."""
_BATCH_BEGIN: Final = 0x10  # NFNL_MSG_BATCH_BEGIN
_BATCH_END: Final = 0x11

_HEADER: Final = struct.Struct("=IHHII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_ERROR: Final = 2  # NLMSG_ERROR, an acknowledgement too
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


def ask(sock: socket.socket, messages: bytes) -> int:
    """Send messages; return how many were acknowledged, or raise the first error, OSError.

    What was not read of an earlier answer is thrown away before: it belongs to nobody any more.
    """
    _answers(sock)
    sock.send(messages)
    acknowledged = 0
    for answer in _answers(sock):
        at = 0
        while at + _HEADER.size < len(answer):
            length, kind, *_ = _HEADER.unpack_from(answer, at)
            number = -struct.unpack_from("=i", answer, at + _HEADER.size)[0]
            if kind == _ERROR and number:
                raise OSError(number, os.strerror(number))
            acknowledged += kind == _ERROR
            at += (length + 3) // 4 * 4
    return acknowledged


def _answers(sock: socket.socket) -> list[bytes]:
    """Read all that is there."""
    answers = []
    while True:
        try:
            answers.append(sock.recv(_ANSWERS, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return answers
