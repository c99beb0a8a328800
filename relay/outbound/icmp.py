"""Which ICMP code has ended a dial, and whether that is a verdict or an outage; pure.

    code  meaning                               here     bare, icmp_err_convert of the kernel
    0, 1  network, host unreachable             outage   ENETUNREACH, EHOSTUNREACH
    2     protocol unreachable                  verdict  ENOPROTOOPT
    3     port unreachable                      refusal  ECONNREFUSED
    4     fragmentation needed                  -        the kernel's own, for path MTU discovery
    5     source route failed                   outage   EOPNOTSUPP
    6     network unknown, sent for 0           outage   ENETUNREACH
    7     host unknown, by its link layer       verdict  EHOSTDOWN
    8     source host isolated, sent for 0 or 1 outage   ENONET
    9, 10 network, host prohibited              verdict  ENETUNREACH, EHOSTUNREACH
    11,12 as 0 and 1, for this type of service  outage   ENETUNREACH, EHOSTUNREACH
    13    communication prohibited              verdict  EHOSTUNREACH
    14,15 precedence not allowed                verdict  EHOSTUNREACH

RFC 1122 section 3.2.2.1 calls 0, 1 and 5 a hint, which may come of a routing transient, and no
proof; RFC 1812 section 5.2.7.1 has routers send 0 or 1 in place of 6 and 8, and 7 only where the
link layer says that there is no such host. 9, 10, 13, 14 and 15 are what somebody has decided. An
ICMP message of another type (time exceeded: a loop of routes) counts by its errno.
"""

import errno
import struct
from typing import Final

NETWORK_UNREACHABLE: Final = 0
HOST_UNREACHABLE: Final = 1
PROTOCOL_UNREACHABLE: Final = 2
REFUSED: Final = 3
PROHIBITED: Final = 13

VERDICTS: Final = frozenset({2, 7, 9, 10, 13, 14, 15})
"""Codes that no waiting mends; REFUSED is judged with the other refusals."""

OUTAGES: Final = frozenset({0, 1, 5, 6, 8, 11, 12})

FORBIDDEN: Final = frozenset({9, 10, 13, 14, 15})
"""Those verdicts that are somebody's decision."""

_EXTENDED: Final = struct.Struct("=IBBBBII")
"""struct sock_extended_err of linux/errqueue.h: errno, origin, type, code, and more."""

_ORIGIN_ICMP: Final = 2
_DESTINATION_UNREACHABLE: Final = 3

_OF_ERRNO: Final = {
    errno.ENETUNREACH: NETWORK_UNREACHABLE,
    errno.ENETDOWN: NETWORK_UNREACHABLE,
    errno.EHOSTUNREACH: HOST_UNREACHABLE,
    errno.EHOSTDOWN: HOST_UNREACHABLE,
    errno.ENOPROTOOPT: PROTOCOL_UNREACHABLE,
}


def code_of(extended: bytes, number: int) -> int | None:
    """Return the destination-unreachable code of a failed connect; None if it has none.

    `extended` is what the socket's error queue had, `number` the errno: it stands for the code
    where the host itself knows no way, and before Linux 5.16, whose TCP fills no error queue.
    """
    if len(extended) >= _EXTENDED.size:
        _errno, origin, kind, code, *_more = _EXTENDED.unpack_from(extended)
        if (origin, kind) == (_ORIGIN_ICMP, _DESTINATION_UNREACHABLE):
            return int(code)
    return _OF_ERRNO.get(number)
