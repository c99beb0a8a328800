"""The namespace's network: lo alone, up, with every IPv4 address local to it ("AnyIP")."""

import os
from pathlib import Path

from pyroute2.iproute.linux import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

_LO_INDEX = 1
_LOCAL_TABLE = 255
_LINEAR = "ipv4/tcp_syn_linear_timeouts"
_MOST_RETRIES = 127
_LONGEST_PAUSE = 120
"""Seconds, TCP_RTO_MAX of include/net/tcp.h."""


def load() -> None:
    """Do nothing: the call itself loads a deferred module, and pyroute2 with it."""


def bring_up(own_address: str) -> None:
    """Bring lo up and have the kernel terminate every IPv4 connection here; raises OSError.

    Without an address of its own as source, a connection could be its own peer. IPv6 keeps
    ::1 and gets no route, so that a connect to any other address fails at once.
    """
    try:
        with IPRoute() as ip:
            ip.link("set", index=_LO_INDEX, state="up")
            ip.addr("add", index=_LO_INDEX, address=own_address, prefixlen=32)
            ip.route(
                "add",
                dst="0.0.0.0/0",
                type="local",
                scope="host",
                oif=_LO_INDEX,
                prefsrc=own_address,
                table=_LOCAL_TABLE,
            )
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error


def sysctl(name: str, value: str) -> bool:
    """Write a setting of this network namespace; False where /proc/sys is read-only."""
    try:
        Path("/proc/sys/net", name).write_text(value)
    except OSError:
        return False
    return True


def connect_for(seconds: float) -> bool:
    """Let a connect() that nobody answers wait for `seconds` at least, tcp(7) tcp_syn_retries.

    False where that cannot be written. tcp_rto_max_ms would allow finer steps, but it also decides
    how soon the kernel gives up the data of a program that has ended before they were taken.
    """
    try:
        linear = int(Path("/proc/sys/net", _LINEAR).read_text())
    except OSError:
        linear = 0  # before Linux 6.5
    return sysctl("ipv4/tcp_syn_retries", str(syn_retries(seconds, linear)))


def syn_retries(seconds: float, linear: int) -> int:
    """Return the least number of retransmissions for which a SYN waits this long.

    The kernel gives up at the first timer by which the time has passed that this number would take
    if all pauses doubled (tcp_write_timeout()). But the first `linear` + 1 are a second each.
    """
    retries, pause, alone = 1, 2, 3
    while _first_timer(alone, linear) < seconds and retries < _MOST_RETRIES:
        retries += 1
        pause = min(2 * pause, _LONGEST_PAUSE)
        alone += pause
    return retries


def _first_timer(after: int, linear: int) -> int:
    """Return when the retransmission timer of a SYN first runs out `after` seconds or later."""
    waited, pause = linear + 1, 1
    while waited < after:
        pause = min(2 * pause, _LONGEST_PAUSE)
        waited += pause
    return waited if after > linear else after
