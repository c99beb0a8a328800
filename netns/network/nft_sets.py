"""Elements of a set of nf_tables, replaced by hand: for whoever does not load pyroute2.

Whoever holds the socket may change the set, also from outside of the namespace: the kernel asks
for NET_ADMIN over its user namespace, which that one's owner has, and root outside too.
"""

import socket
import struct
from collections.abc import Sequence
from typing import Final

from netns.network import netlink

_BATCH_BEGIN: Final = 0x10  # NFNL_MSG_BATCH_BEGIN
_BATCH_END: Final = 0x11
_SUBSYSTEM: Final = 10  # NFNL_SUBSYS_NFTABLES
_NEW_ELEMENTS: Final = _SUBSYSTEM << 8 | 12  # NFT_MSG_NEWSETELEM
_DELETE_ELEMENTS: Final = _SUBSYSTEM << 8 | 14
_TABLE, _SET, _ELEMENTS = 1, 2, 3  # NFTA_SET_ELEM_LIST_*
_ITEM: Final = 1  # NFTA_LIST_ELEM
_KEY: Final = 1  # NFTA_SET_ELEM_KEY
_FLAGS: Final = 3  # NFTA_SET_ELEM_FLAGS
_INTERVAL_END: Final = 1  # NFT_SET_ELEM_INTERVAL_END
_VALUE: Final = 1  # NFTA_DATA_VALUE


def replace(
    sock: socket.socket, family: int, table: str, name: str, elements: Sequence[bytes]
) -> None:
    """Have these elements in a set, all at once, and no others; raises OSError."""
    body = _family(family, 0)
    body += netlink.attribute(_TABLE, table.encode() + b"\0")
    body += netlink.attribute(_SET, name.encode() + b"\0")
    batch = netlink.message(_BATCH_BEGIN, 0, _family(0, _SUBSYSTEM))
    batch += netlink.message(_DELETE_ELEMENTS, 0, body)  # without a list: all of them
    if elements:
        listed = netlink.attribute(_ELEMENTS | netlink.NESTED, b"".join(elements))
        batch += netlink.message(_NEW_ELEMENTS, netlink.CREATE | netlink.ACK, body + listed)
    netlink.ask(sock, batch + netlink.message(_BATCH_END, 0, _family(0, _SUBSYSTEM)))


def element(key: bytes, *, ends_interval: bool = False) -> bytes:
    """Write an element: a member of a set, or the first key that is behind an interval."""
    value = netlink.attribute(_VALUE, key)
    written = netlink.attribute(_KEY | netlink.NESTED, value)
    if ends_interval:
        written += netlink.attribute(_FLAGS, struct.pack("!I", _INTERVAL_END))
    return netlink.attribute(_ITEM | netlink.NESTED, written)


def _family(family: int, resource: int) -> bytes:
    """Write a struct nfgenmsg."""
    return struct.pack("!BBH", family, 0, resource)
