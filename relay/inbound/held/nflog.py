"""The messages of nfnetlink_log: the packet that was logged is found in one; pure."""

import struct
from typing import Final

_NLMSGHDR: Final = struct.Struct("=IHHII")
_NFULNL_MSG_PACKET: Final = 4 << 8  # NFNL_SUBSYS_ULOG
_NFGENMSG_SIZE: Final = 4
_ATTRIBUTE: Final = struct.Struct("=HH")
_NFULA_PAYLOAD: Final = 9


def logged_packet(message: bytes) -> memoryview:
    """Return the packet of the first message in a datagram, from the IP header on; empty if none.

    With a threshold of one packet, which interception.py sets, there is no second one.
    """
    data = memoryview(message)
    if len(data) < _NLMSGHDR.size or _NLMSGHDR.unpack_from(data)[1] != _NFULNL_MSG_PACKET:
        return data[:0]
    at = _NLMSGHDR.size + _NFGENMSG_SIZE
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if kind == _NFULA_PAYLOAD:
            return data[at + _ATTRIBUTE.size : at + length]
        at += max(length + 3 & ~3, _ATTRIBUTE.size)
    return data[:0]
