"""Socket options of every upstream connection: keepalive, user timeout, no delay, short back-off.

Where the kernel lacks an option it does without; the rest of the settings still hold.
"""

import socket
from dataclasses import dataclass
from typing import Final, Self

from relay import sockets
from relay.config import Settings

TCP_RTO_MAX_MS: Final = 44
"""tcp(7), Linux 6.15: the longest pause between two retransmissions."""

IP_RECVERR: Final = 11
"""ip(7): ICMP errors are queued with their type and code."""

KEEPIDLE: Final[int | None] = getattr(
    socket, "TCP_KEEPIDLE", getattr(socket, "TCP_KEEPALIVE", None)
)
"""The second is macOS's name for it. None: the system's, of two hours, holds."""

_KEEPINTVL: Final[int | None] = getattr(socket, "TCP_KEEPINTVL", None)
_KEEPCNT: Final[int | None] = getattr(socket, "TCP_KEEPCNT", None)


@dataclass(frozen=True)
class KeepAlive:
    """When a silent upstream is probed and given up."""

    idle: int
    """Seconds of silence before the first probe, TCP_KEEPIDLE."""
    interval: int
    """Seconds between probes, TCP_KEEPINTVL."""
    count: int
    """Unanswered probes that end a connection where user_timeout is 0, TCP_KEEPCNT."""
    user_timeout: int
    """Seconds that data or probes may stay unanswered, TCP_USER_TIMEOUT; 0: the kernel's rule."""
    rto_max: int
    """Milliseconds, TCP_RTO_MAX_MS; 0: the kernel's 120 s."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return what a session's settings ask for."""
        return cls(
            idle=settings.keepidle,
            interval=settings.keepintvl,
            count=settings.keepcnt,
            user_timeout=settings.user_timeout,
            rto_max=settings.rto_max,
        )

    def apply(self, sock: socket.socket, limit: float) -> None:
        """Set all of them before the connect, which ends after `limit` seconds, a second at least.

        The limit is a TCP_USER_TIMEOUT, which the kernel looks at when it would send the SYN again:
        TCP_SYNCNT counts retransmissions, whose pauses differ with the kernel (4 to 20 s).
        """
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        tcp = socket.IPPROTO_TCP
        if KEEPIDLE is not None:
            sock.setsockopt(tcp, KEEPIDLE, self.idle)
        if _KEEPINTVL is not None:
            sock.setsockopt(tcp, _KEEPINTVL, self.interval)
        if _KEEPCNT is not None:
            sock.setsockopt(tcp, _KEEPCNT, self.count)
        sock.setsockopt(tcp, socket.TCP_NODELAY, 1)
        if sockets.HAS_ERROR_QUEUE:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        if not sockets.HAS_USER_TIMEOUT:
            return
        sock.setsockopt(tcp, socket.TCP_USER_TIMEOUT, max(int(limit * 1000), 1))
        if self.rto_max:
            try:  # noqa: SIM105 - for each dial; suppress() costs as much as the call
                sock.setsockopt(tcp, TCP_RTO_MAX_MS, self.rto_max)
            except OSError:
                pass  # ENOPROTOOPT before Linux 6.15

    def connected(self, sock: socket.socket) -> None:
        """Set what is different once the connection stands.

        With IP_RECVERR an ICMP error, which is only a hint then (RFC 1122 section 4.2.3.9), would
        end it.
        """
        if sockets.HAS_ERROR_QUEUE:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 0)
        if sockets.HAS_USER_TIMEOUT:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, self.user_timeout * 1000)
