"""Which TCP sockets of a namespace listen: the questions for all of them, sock_diag(7); pure.

The kernel looks at sockets in the state LISTEN alone, so what else is open costs nothing.
"""

import struct
from collections.abc import Collection, Iterator
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final, NamedTuple

from netns.network.nlmsg import DUMP, HEADER, message

AF_INET: Final = 2
AF_INET6: Final = 10

_SOCK_DIAG_BY_FAMILY: Final = 20
_NLMSG_ERROR: Final = 2
_NLMSG_DONE: Final = 3
_IPPROTO_TCP: Final = 6
_LISTEN: Final = 1 << 10  # TCP_LISTEN of include/net/tcp_states.h

_MESSAGE: Final = struct.Struct("=B3x2s2x16s44xI")
"""Family, port, address and inode of struct inet_diag_msg."""
_ATTRIBUTE: Final = struct.Struct("=HH")
_SKV6ONLY: Final = 11  # INET_DIAG_SKV6ONLY


class Listening(NamedTuple):
    """A socket that listens."""

    address: str
    """IPv4, also where an IPv6 socket is bound to one, or IPv6."""
    port: int
    takes_ipv6_alone: bool = False
    """Whether a socket at `::` takes no connection over IPv4: IPV6_V6ONLY, ipv6(7)."""


def request(family: int) -> bytes:
    """Return the question for all that listens in a family: struct inet_diag_req_v2."""
    body = struct.pack("=BBBxI48x", family, _IPPROTO_TCP, 0, _LISTEN)
    return message(_SOCK_DIAG_BY_FAMILY, DUMP, body)


def read(answer: bytes, passed_over: Collection[int]) -> Iterator[Listening | None]:
    """Yield the sockets of a part of the answer, and None where all of it has come.

    Those whose inodes are to be passed over are left out. Raises OSError if the kernel could not
    look.
    """
    at = 0
    while at + HEADER.size <= len(answer):
        length, kind, *_ = HEADER.unpack_from(answer, at)
        body = at + HEADER.size
        if kind == _NLMSG_DONE:
            yield None
        elif kind == _NLMSG_ERROR:
            (number,) = struct.unpack_from("=i", answer, body)
            raise OSError(-number, "the kernel could not look for what listens")
        elif body + _MESSAGE.size <= len(answer):
            family, port, address, inode = _MESSAGE.unpack_from(answer, body)
            if inode not in passed_over:
                alone = family == AF_INET6 and _is_ipv6_alone(answer, body, at + length)
                yield Listening(_address(family, address), int.from_bytes(port, "big"), alone)
        at += max((length + 3) // 4 * 4, HEADER.size)


def _is_ipv6_alone(answer: bytes, body: int, end: int) -> bool:
    """Return what the attribute about it says."""
    at, end = body + _MESSAGE.size, min(end, len(answer))
    while at + _ATTRIBUTE.size < end:
        length, kind = _ATTRIBUTE.unpack_from(answer, at)
        if kind == _SKV6ONLY:
            return bool(answer[at + _ATTRIBUTE.size])
        at += max((length + 3) // 4 * 4, _ATTRIBUTE.size)
    return False


@lru_cache(maxsize=256)
def _address(family: int, packed: bytes) -> str:
    """Return an address as text; one of IPv4 in IPv6 as what it is, RFC 4291 section 2.5.5.2."""
    if family == AF_INET:
        return ".".join(map(str, packed[:4]))
    address = IPv6Address(packed)
    return str(address.ipv4_mapped or address)
