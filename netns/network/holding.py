"""The sockets by which SYNs are held: one receives them, two send packets from any address.

interception.py drops each SYN that lacks MARK before any listener sees it, and logs it: only what
is dropped is ever copied. Whoever has the sockets answers the SYN, or sends it again with MARK. To
open them takes NET_RAW and NET_ADMIN in the namespace, to use them nothing.
"""

import contextlib
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from netns.network import netlink, nlmsg

MARK: Final = 0x6B6C
"""SO_MARK of what is sent again. The command cannot set one: that takes NET_ADMIN or NET_RAW."""

BURST_BIT: Final = 1
BURST_MARK: Final = MARK | BURST_BIT
"""The mark of one to the destination of a burst: for BURST_SECONDS its SYNs are not held."""

BURST_SECONDS: Final = 2

RELAYS_MARK: Final = MARK | 2
"""The mark of all that the relay's listeners, and what they have accepted, send to programs."""

PUBLISHED_MARK: Final = MARK | 3
"""The mark of connections from the host to servers inside, which stay in the namespace: nobody who
listens there any more refuses them, and nothing is sent on to the host, where they come from."""

ANY_OF_MARKS: Final = 0xFFFFFFFC
"""The bits that all marks have in common, MARK's."""

GROUP: Final = 0x6B6C
"""Of nfnetlink_log; each network namespace has its own groups."""

_BUFFER: Final = 4 << 20
"""Bytes of SYNs that wait to be read, about 1 KiB each, if net.core.rmem_max allows; what finds no
room is retransmitted a second later."""

SO_MARK: Final = 36
"""Of <asm-generic/socket.h>."""
_NETLINK_NO_ENOBUFS: Final = 5
_SOL_NETLINK: Final = 270
_NFULNL_MSG_CONFIG: Final = 4 << 8 | 1  # NFNL_SUBSYS_ULOG
_NFULA_CFG_CMD: Final = 1
_NFULA_CFG_MODE: Final = 2
_NFULNL_CFG_CMD_BIND: Final = 1
_NFULNL_COPY_PACKET: Final = 2
_HEADERS: Final = 128
"""Bytes of a packet that are copied: two headers have 120 at most, RFC 791 and 9293."""


@dataclass(frozen=True)
class IPv6Sockets:
    """What holds SYNs to ::1, whose copies come by the same log."""

    listener: socket.socket
    """Accepts those that are sent again."""
    raw: socket.socket
    """raw(7), IPPROTO_RAW of IPv6: sends whole packets, marked with MARK."""


@dataclass(frozen=True)
class SynSockets:
    """The sockets that hold SYNs; whoever has this owns them."""

    log: socket.socket
    """Of nfnetlink_log: receives a message for each SYN that is dropped."""
    raw: socket.socket
    """raw(7), IPPROTO_RAW: sends whole packets, marked with MARK."""
    raw_of_burst: socket.socket
    """The same with BURST_MARK."""
    ipv6: IPv6Sockets | None = None
    """None where the kernel has no IPv6, or cannot hold its SYNs."""

    @classmethod
    def of(cls, sockets: Sequence[socket.socket]) -> "SynSockets":
        """Put together what all() has returned."""
        log, raw, raw_of_burst, *ipv6 = sockets
        return cls(log, raw, raw_of_burst, IPv6Sockets(*ipv6) if ipv6 else None)

    def close(self) -> None:
        """Close all of them."""
        for sock in self.all():
            sock.close()

    def all(self) -> tuple[socket.socket, ...]:
        """Return them in the order of the fields."""
        ipv6 = () if self.ipv6 is None else (self.ipv6.listener, self.ipv6.raw)
        return self.log, self.raw, self.raw_of_burst, *ipv6


def open_sockets() -> SynSockets:
    """Open the sockets; raises OSError where the kernel has no such sockets, or refuses one."""
    with contextlib.ExitStack() as on_failure:
        log = on_failure.enter_context(_log())
        raw = on_failure.enter_context(open_raw(MARK))
        raw_of_burst = on_failure.enter_context(open_raw(BURST_MARK))
        on_failure.pop_all()
    return SynSockets(log, raw, raw_of_burst)


def open_raw(mark: int, family: int = socket.AF_INET) -> socket.socket:
    """Open a socket that sends whole packets with a mark; raises OSError."""
    raw = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
    try:
        raw.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
    except BaseException:
        raw.close()
        raise
    return raw


def _log() -> socket.socket:
    """Open the socket that receives what is logged to GROUP."""
    log = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETFILTER)
    try:
        log.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        log.setsockopt(_SOL_NETLINK, _NETLINK_NO_ENOBUFS, 1)
        _configure(log, _NFULA_CFG_CMD, struct.pack("=B", _NFULNL_CFG_CMD_BIND))
        _configure(log, _NFULA_CFG_MODE, struct.pack("!IBB", _HEADERS, _NFULNL_COPY_PACKET, 0))
    except BaseException:
        log.close()
        raise
    return log


def _configure(log: socket.socket, attribute: int, value: bytes) -> None:
    """Set one thing of the group; raises OSError."""
    body = nlmsg.nfgenmsg(socket.AF_UNSPEC, GROUP)
    body += nlmsg.attribute(attribute, value)
    netlink.ask(log, nlmsg.message(_NFULNL_MSG_CONFIG, nlmsg.ACK, body))
