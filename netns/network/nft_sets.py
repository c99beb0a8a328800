"""Elements of a set of nf_tables, replaced by hand.

Whoever holds the socket may change the set, also from outside of the namespace: the kernel asks
for NET_ADMIN over its user namespace, which that one's owner has, and root outside too.
"""

import socket
import struct
from collections.abc import Sequence
from typing import Final

from netns.network import netlink, nlmsg

_NEW_ELEMENTS: Final = nlmsg.NFTABLES << 8 | 12  # NFT_MSG_NEWSETELEM
_DELETE_ELEMENTS: Final = nlmsg.NFTABLES << 8 | 14
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
    body = nlmsg.nfgenmsg(family)
    body += nlmsg.attribute(_TABLE, table.encode() + b"\0")
    body += nlmsg.attribute(_SET, name.encode() + b"\0")
    messages = nlmsg.message(_DELETE_ELEMENTS, 0, body)  # without a list: all of them
    if elements:
        listed = nlmsg.attribute(_ELEMENTS | nlmsg.NESTED, b"".join(elements))
        messages += nlmsg.message(_NEW_ELEMENTS, nlmsg.CREATE | nlmsg.ACK, body + listed)
    netlink.ask(sock, nlmsg.nftables_batch(messages))


def element(key: bytes, *, ends_interval: bool = False) -> bytes:
    """Write an element: a member of a set, or the first key that is behind an interval."""
    value = nlmsg.attribute(_VALUE, key)
    written = nlmsg.attribute(_KEY | nlmsg.NESTED, value)
    if ends_interval:
        written += nlmsg.attribute(_FLAGS, struct.pack("!I", _INTERVAL_END))
    return nlmsg.attribute(_ITEM | nlmsg.NESTED, written)
