"""The TCP sockets of a host as the kernel shows them, with their timers, from /proc/net/tcp."""

import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .hosts import Host

_TIMERS: Final = {0: "off", 1: "retransmit", 2: "keepalive", 3: "time-wait", 4: "probe"}
_STATES: Final = {1: "ESTABLISHED", 2: "SYN-SENT", 8: "CLOSE-WAIT", 10: "LISTEN"}
_TICKS: Final = 100  # USER_HZ, in which the kernel counts for us


@dataclass(frozen=True)
class Socket:
    """One line of the table."""

    local: tuple[str, int]
    remote: tuple[str, int]
    state: str
    timer: str  # off, retransmit, keepalive, time-wait or probe
    expires: float  # seconds until the timer fires


def tcp_sockets(host: Host) -> list[Socket]:
    """Read all IPv4 TCP sockets of `host`."""
    text = host.call(Path("/proc/thread-self/net/tcp").read_text)
    return [_parse(line) for line in text.splitlines()[1:]]


def _parse(line: str) -> Socket:
    _number, local, remote, state, _queues, timer, *_rest = line.split()
    kind, _, ticks = timer.partition(":")
    return Socket(
        local=_address(local),
        remote=_address(remote),
        state=_STATES.get(int(state, 16), state),
        timer=_TIMERS[int(kind, 16)],
        expires=int(ticks, 16) / _TICKS,
    )


def _address(text: str) -> tuple[str, int]:
    address, port = text.split(":")
    return socket.inet_ntoa(struct.pack("=I", int(address, 16))), int(port, 16)
