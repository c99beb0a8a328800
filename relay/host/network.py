"""What happens to the network below: addresses and routes come and go, the machine sleeps.

rtnetlink(7) only wakes us; what is true now is then read afresh, so no event can be missed.
"""

import errno
import socket
import time
from collections.abc import Callable
from typing import Final

import trio

from relay.host.interfaces import local_addresses

_RTMGRP_LINK = 0x1
_RTMGRP_IPV4_IFADDR = 0x10
_RTMGRP_IPV4_ROUTE = 0x40

_SUSPENDED: Final = 2.0
"""Seconds that CLOCK_BOOTTIME must gain on CLOCK_MONOTONIC: it runs on while a machine sleeps."""


class Weather:
    """The latest state, and who waits for the next change."""

    def __init__(self) -> None:
        """Begin with nothing known to have changed."""
        self._change = trio.Event()

    async def wait(self) -> None:
        """Return after the next change."""
        await self._change.wait()

    def changed(self) -> None:
        """Wake all who wait."""
        self._change.set()
        self._change = trio.Event()


async def watch(on_change: Callable[[frozenset[str]], None]) -> None:
    """Call `on_change(local IPv4 addresses)` after each burst of link, address or route events."""
    with _open() as sock:
        while True:
            await trio.lowlevel.wait_readable(sock)
            _discard(sock)
            on_change(local_addresses())


def _open() -> socket.socket:
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
    )
    sock.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV4_ROUTE))
    return sock


def _discard(sock: socket.socket) -> None:
    """Empty the socket; ENOBUFS says that the kernel dropped some, which is as good an event."""
    while True:
        try:
            sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise


class SleepDetector:
    """Tells how long the machine was suspended since the last time it was asked."""

    def __init__(self, lead: Callable[[], float]) -> None:
        """`lead` gives by how many seconds CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC."""
        self._lead = lead
        self._last = lead()

    def slept(self) -> float:
        """Give the seconds of a suspend, 0 if there was none."""
        now = self._lead()
        gained, self._last = now - self._last, now
        return gained if gained >= _SUSPENDED else 0.0


def boottime_lead() -> float:
    """Read both clocks, clock_gettime(2)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
