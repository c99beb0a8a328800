"""Questions to the kernel for the state of one TCP socket, and its answers: sock_diag(7); pure.

The kernel finds the socket by hash, whatever made it: also an IPv6 socket
that speaks IPv4, and a subflow of MPTCP.
"""

import errno
import struct
from ipaddress import IPv6Address
from typing import Final

from relay.addresses import Endpoint

_NLMSGHDR: Final = struct.Struct("=IHHII")
_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_NLMSG_ERROR: Final = 2
_AF_INET: Final = 2
_AF_INET6: Final = 10
_IPPROTO_TCP: Final = 6
_INODE: Final = _NLMSGHDR.size + 68
_NO_COOKIE: Final = b"\xff" * 8
_STATE: Final = _NLMSGHDR.size + 1
_LEAST: Final = 20
"""Bytes of an answer up to the errno, or the state, and with it."""


def request(local: Endpoint, remote: Endpoint, number: int) -> bytes:
    """Return the question for the socket that has these ends: struct inet_diag_req_v2.

    The answer has the same `number`, of 32 bits.
    """
    number_of_family = _AF_INET6 if ":" in local[0] else _AF_INET
    family = struct.pack("=BBBxI", number_of_family, _IPPROTO_TCP, 0, 0xFFFFFFFF)
    ports = struct.pack("!HH", local[1], remote[1])
    addresses = (_packed(address).ljust(16, b"\0") for address, _port in (local, remote))
    ends = b"".join(addresses)
    body = family + ports + ends + bytes(4) + _NO_COOKIE
    size = _NLMSGHDR.size + len(body)
    head = _NLMSGHDR.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, number, 0)
    return head + body


def _packed(address: str) -> bytes:
    if ":" in address:
        return IPv6Address(address).packed
    return bytes(map(int, address.split(".")))


def number_of(answer: bytes) -> int:
    """Return the number of the question that is answered; raises OSError if that is no answer."""
    if len(answer) < _LEAST:
        raise OSError(errno.EBADMSG, "a short answer of sock_diag")
    return int(_NLMSGHDR.unpack_from(answer)[3])


def state(answer: bytes) -> int | None:
    """Return the socket's state (include/net/tcp_states.h), None if there is no such socket.

    The answer has a number. Raises OSError if the kernel could not look.
    """
    if _NLMSGHDR.unpack_from(answer)[1] != _NLMSG_ERROR:
        return answer[_STATE]
    number = -struct.unpack_from("=i", answer, _NLMSGHDR.size)[0]
    if number == errno.ENOENT:
        return None
    raise OSError(number, "the kernel could not look the socket up")


def inode(answer: bytes) -> int:
    """Return what a socket is called in /proc/PID/fd: idiag_inode.

    It is 0 once the last process has closed the socket, and if there is no such one. Raises OSError
    if the kernel could not look.
    """
    if state(answer) is None:
        return 0
    return int(struct.unpack_from("=I", answer, _INODE)[0])
