"""Messages of netlink(7) by hand: a library for them takes longer to load than a session to start.

Pure.
"""

import struct
from collections.abc import Sequence
from typing import Final

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

HEADER: Final = struct.Struct("=IHHII")
"""Length, type, flags, number and port: struct nlmsghdr."""
_ATTRIBUTE: Final = struct.Struct("=HH")
_TYPE: Final = 0x3FFF  # NLA_TYPE_MASK


def attribute(kind: int, value: bytes) -> bytes:
    """Write an attribute, filled up to four bytes."""
    written = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value
    return written + bytes(-len(written) % 4)


def message(kind: int, flags: int, body: bytes) -> bytes:
    """Write a message."""
    return HEADER.pack(HEADER.size + len(body), kind, REQUEST | flags, 0, 0) + body


def nfgenmsg(family: int, resource: int = 0) -> bytes:
    """Write what a message of nfnetlink begins with, struct nfgenmsg."""
    return struct.pack("!BBH", family, 0, resource)


def nftables_batch(messages: bytes) -> bytes:
    """Write messages of nf_tables as a batch, of which all are carried out, or none."""
    begin, end = (message(kind, 0, nfgenmsg(0, NFTABLES)) for kind in (_BATCH_BEGIN, _BATCH_END))
    return begin + messages + end


def numbered(messages: Sequence[bytes]) -> bytes:
    """Join the messages of a batch, numbered from 1 on, of which the last alone is acknowledged.

    An error is answered whatever was asked for. Acknowledgements of hundreds of messages would not
    fit into the socket's buffer: the kernel would carry the batch out, and report ENOBUFS.
    """
    joined = bytearray()
    for number, each in enumerate(messages, 1):
        length, kind, flags, _number, port = HEADER.unpack_from(each)
        if number < len(messages):
            flags &= ~ACK
        joined += HEADER.pack(length, kind, flags, number, port) + each[HEADER.size :]
    return bytes(joined)


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
