"""The set of nf_tables that holds the host's own addresses, which interception.py consults.

Whoever holds the socket may change the set, also from outside of the namespace: the kernel asks
for NET_ADMIN over its user namespace, which that one's owner has, and root outside too.
"""

import socket
import struct
from collections.abc import Iterable, Sequence
from typing import Final

from netns.network import netlink

NAME: Final = "host_addresses"

_BATCH_BEGIN: Final = 0x10  # NFNL_MSG_BATCH_BEGIN
_BATCH_END: Final = 0x11
_SUBSYSTEM: Final = 10  # NFNL_SUBSYS_NFTABLES
_NEW_ELEMENTS: Final = _SUBSYSTEM << 8 | 12  # NFT_MSG_NEWSETELEM
_DELETE_ELEMENTS: Final = _SUBSYSTEM << 8 | 14
_TABLE, _SET, _ELEMENTS = 1, 2, 3  # NFTA_SET_ELEM_LIST_*
_ITEM: Final = 1  # NFTA_LIST_ELEM
_KEY: Final = 1  # NFTA_SET_ELEM_KEY
_VALUE: Final = 1  # NFTA_DATA_VALUE


class HostAddresses:
    """The set; the owner of this closes it."""

    def __init__(
        self, sock: socket.socket, table: str, shown: Sequence[str], current: Iterable[str] = ()
    ) -> None:
        """Take the socket, and what the set holds now."""
        self.sock = sock
        self.table = table
        self.shown = shown
        """Those of the namespace's own device, which keeps them."""
        self._current = frozenset(current)

    def __contains__(self, address: str) -> bool:
        """Return whether an address was in the set when it was last replaced."""
        return address in self._current

    def replace(self, addresses: Iterable[str]) -> None:
        """Have these addresses, and those shown, in the set, all at once; raises OSError."""
        current = frozenset({*addresses, *self.shown})
        if current == self._current:
            return
        body = _family(socket.AF_INET, 0)
        body += netlink.attribute(_TABLE, self.table.encode() + b"\0")
        body += netlink.attribute(_SET, NAME.encode() + b"\0")
        elements = b"".join(map(_element, sorted(current)))
        batch = netlink.message(_BATCH_BEGIN, 0, _family(0, _SUBSYSTEM))
        batch += netlink.message(_DELETE_ELEMENTS, 0, body)  # without a list: all of them
        if elements:
            listed = netlink.attribute(_ELEMENTS | netlink.NESTED, elements)
            batch += netlink.message(_NEW_ELEMENTS, netlink.CREATE | netlink.ACK, body + listed)
        netlink.ask(self.sock, batch + netlink.message(_BATCH_END, 0, _family(0, _SUBSYSTEM)))
        self._current = current


def open_set(table: str, shown: Sequence[str]) -> HostAddresses:
    """Open and fill the set of the calling process's namespace, in a table that is there.

    Raises OSError.
    """
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETFILTER)
    made = HostAddresses(sock, table, shown)
    made.replace(())
    return made


def _family(family: int, resource: int) -> bytes:
    """Write a struct nfgenmsg."""
    return struct.pack("!BBH", family, 0, resource)


def _element(address: str) -> bytes:
    value = netlink.attribute(_VALUE, socket.inet_aton(address))
    key = netlink.attribute(_KEY | netlink.NESTED, value)
    return netlink.attribute(_ITEM | netlink.NESTED, key)
