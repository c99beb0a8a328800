"""/proc/net/tcp, proc(5): which connections their own side has closed, with data still to come.

Pure: the text is passed in.
"""

import sys
from typing import Final

from relay.addresses import Endpoint

_CLOSED_BY_ITS_SIDE: Final = frozenset({"04", "05", "09", "0B"})
"""FIN_WAIT1, FIN_WAIT2, LAST_ACK and CLOSING of include/net/tcp_states.h."""


def closed_by_their_side(table: str) -> frozenset[tuple[Endpoint, Endpoint]]:
    """Return local and remote endpoint of each."""
    found = set()
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 3 and fields[3] in _CLOSED_BY_ITS_SIDE:
            found.add((_endpoint(fields[1]), _endpoint(fields[2])))
    return frozenset(found)


def _endpoint(text: str) -> Endpoint:
    """Read ADDRESS:PORT in hexadecimal, the address in the machine's byte order."""
    address, _colon, port = text.partition(":")
    packed = int(address, 16).to_bytes(4, sys.byteorder)
    return ".".join(map(str, packed)), int(port, 16)
