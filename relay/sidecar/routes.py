"""Where the kernel would send what a user connects to: a question of rtnetlink(7), and its answer.

Nobody needs a privilege to ask it, not even for another user. Pure.
"""

import errno
import struct
from typing import Final

from netns.network.nlmsg import HEADER, attribute, message

_RTMSG: Final = struct.Struct("=BBBBBBBBI")
_RTM_NEWROUTE: Final = 24
_RTM_GETROUTE: Final = 26
_NLMSG_ERROR: Final = 2
_RTA_DST: Final = 1
_RTA_UID: Final = 25
_RTA_IP_PROTO: Final = 27
_IPPROTO_TCP: Final = 6
_AF_INET: Final = 2
_RTN_LOCAL: Final = 2
_TYPE: Final = HEADER.size + 7
_NOWHERE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL})
"""What a route of the types unreachable, prohibit and blackhole is told by, and none at all."""


def request(address: str, uid: int) -> bytes:
    """Return the question for the route of a user's TCP, which has chosen no source address."""
    body = _RTMSG.pack(_AF_INET, 32, 0, 0, 0, 0, 0, 0, 0)
    body += attribute(_RTA_DST, bytes(map(int, address.split("."))))
    body += attribute(_RTA_UID, struct.pack("=I", uid))
    body += attribute(_RTA_IP_PROTO, bytes([_IPPROTO_TCP]))
    return message(_RTM_GETROUTE, 0, body)


def is_local(answer: bytes) -> bool:
    """Return whether the kernel would keep the packet itself; raises OSError if it does not say."""
    if len(answer) < HEADER.size + _RTMSG.size:
        raise OSError(errno.EBADMSG, "a short answer of rtnetlink")
    kind = HEADER.unpack_from(answer)[1]
    if kind == _RTM_NEWROUTE:
        return answer[_TYPE] == _RTN_LOCAL
    number = -struct.unpack_from("=i", answer, HEADER.size)[0] if kind == _NLMSG_ERROR else 0
    if number in _NOWHERE:
        return False
    raise OSError(number or errno.EBADMSG, "the kernel could not look the route up")
