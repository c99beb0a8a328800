"""Changes of the host's network: links, addresses and routes, rtnetlink(7).

What a netlink message says is not read. It only means that something has changed, and what is
true now is then read from the kernel: so a message that the kernel drops costs nothing.
"""

import errno
import socket
from collections.abc import Callable
from typing import Final

import trio

from relay.barrier import Record, contained
from relay.host.addresses import Addresses
from relay.host.interfaces import local_addresses

_RTMGRP_LINK = 0x1
_RTMGRP_IPV4_IFADDR = 0x10
_RTMGRP_IPV4_ROUTE = 0x40

AGAIN: Final = 1.0
"""Seconds before addresses that could not be read are read again."""


class NetworkWatch:
    """Lets tasks wait for the next change of the network.

    Whoever waits while notify() runs is woken; whoever begins to wait after it waits for the next
    change, as the event was replaced in the same step, in which no other task can run. A change
    that comes while a task is still busy, before it waits, is missed by that task. This is
    right, because all who wait here set a limit to it, and look again at its end.
    """

    def __init__(self) -> None:
        self._change = trio.Event()

    async def wait(self) -> None:
        """Return after the next change."""
        await self._change.wait()

    def notify(self) -> None:
        """Wake all who wait: the network has changed, or the machine was suspended."""
        self._change.set()
        self._change = trio.Event()


async def watch(
    on_change: Callable[[frozenset[str]], None], record: Record, *, again: bool = False
) -> None:
    """Call `on_change(local IPv4 addresses)` after each burst of link, address or route events.

    An address that has gone is still among them for SETTLE seconds, unless another has come, as
    Addresses has it: then there is one more call.

    The socket is emptied before the addresses are read. What the kernel changes between the two is
    either in what is read or makes the socket readable again, and mostly both: no change is missed,
    and one call too many does no harm. Where the addresses cannot be read, they are after a pause.
    Raises OSError if the kernel refuses the socket; `again`, after that, begins with a call, for a
    change may have been missed.
    """
    if not hasattr(socket, "AF_NETLINK"):  # of another kernel: dead paths are found by probes alone
        await trio.sleep_forever()
    addresses = Addresses()
    with opened(_RTMGRP_LINK | _RTMGRP_IPV4_IFADDR | _RTMGRP_IPV4_ROUTE) as sock:
        again = again or not _looked(addresses, _nobody, record)
        while True:
            if not again:
                with trio.move_on_at(addresses.deadline):
                    await trio.lowlevel.wait_readable(sock)
            again = False
            discard(sock)
            while not _looked(addresses, on_change, record):  # noqa: ASYNC110 - a pause
                await trio.sleep(AGAIN)


def _looked(
    addresses: Addresses, on_change: Callable[[frozenset[str]], None], record: Record
) -> bool:
    """Read the addresses, and tell which count as the host's; return whether it went well."""
    with contained(record, "network change") as look:
        on_change(addresses.now(local_addresses(), trio.current_time()))
    return not look.failed


def _nobody(_addresses: frozenset[str]) -> None:
    """Hear of the addresses at the start."""


def opened(groups: int) -> socket.socket:
    """Open a socket that hears of changes: groups are RTMGRP_* of rtnetlink(7). Raises OSError."""
    sock = socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
    )
    sock.bind((0, groups))
    return sock


def discard(sock: socket.socket) -> None:
    """Empty the socket; ENOBUFS means that the kernel dropped messages, which is a change too."""
    while True:
        try:
            sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
