"""The set of nf_tables that holds the host's own addresses, which interception.py consults."""

import socket
from collections.abc import Iterable, Sequence
from typing import Final

from netns.network import netlink, nft_sets

NAME: Final = "host_addresses"


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
        elements = [nft_sets.element(socket.inet_aton(address)) for address in sorted(current)]
        nft_sets.replace(self.sock, socket.AF_INET, self.table, NAME, elements)
        self._current = current


def open_set(table: str, shown: Sequence[str]) -> HostAddresses:
    """Open and fill the set of the calling process's namespace, in a table that is there.

    Raises OSError.
    """
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETFILTER)
    made = HostAddresses(sock, table, shown)
    made.replace(())
    return made
