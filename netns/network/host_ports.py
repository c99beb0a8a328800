"""The sets of nf_tables that hold the ports of the host's loopback which are open.

interception.py consults them: one in the table of each family.
"""

import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Final

from netns.network import nft_sets

NAME: Final = "host_ports"
_LAST_PORT: Final = 65535


def replace(
    sock: socket.socket, table: str, family: int, ranges: Iterable[tuple[int, int]]
) -> None:
    """Have these ports in the set of a family, each range by its first and last; raises OSError.

    The socket is one of nfnetlink, which nft_sets.py has.
    """
    nft_sets.replace(sock, family, table, NAME, list(_elements(_merged(ranges))))


def _merged(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Join what overlaps or touches, which the kernel would not take."""
    first, last = 0, -1
    for begin, end in sorted((first, last) for first, last in ranges):
        if begin > last + 1:
            if last > 0:
                yield first, last
            first = begin
        last = max(last, end)
    if last > 0:
        yield first, last


def _elements(ranges: Iterable[tuple[int, int]]) -> Iterator[bytes]:
    """Yield an interval's two ends; the last one of all has no second end if nothing is behind."""
    for first, last in ranges:
        yield nft_sets.element(struct.pack("!H", first))
        if last < _LAST_PORT:
            yield nft_sets.element(struct.pack("!H", last + 1), ends_interval=True)
