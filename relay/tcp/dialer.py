"""Dials upstream over IPv4, all addresses raced with a short stagger: RFC 8305 in one family."""

import errno
import os
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import Final

import trio

from relay.tcp.options import KeepAlive

STAGGER: Final = 0.25
"""Seconds before the next address is tried beside the last one, RFC 8305 section 5."""


class DialError(Exception):
    """No address could be reached; `cause` is for people."""

    def __init__(self, cause: str) -> None:
        """Keep the cause."""
        super().__init__(cause)
        self.cause = cause


def dialable(addresses: Sequence[str]) -> list[str]:
    """Leave out what would lead to the host itself or to nobody: loopback, 0.0.0.0, multicast.

    The namespace has a loopback of its own; the host's is not the program's to reach.
    """
    return [text for text in addresses if _is_unicast(IPv4Address(text))]


def _is_unicast(address: IPv4Address) -> bool:
    return not (
        address.is_loopback or address.is_multicast or address.is_unspecified or address.is_reserved
    )


async def dial(addresses: Sequence[str], port: int, keepalive: KeepAlive) -> socket.socket:
    """Connect to whichever address answers first; raises DialError with the last one's cause."""
    if not addresses:
        raise DialError("the name has no address that may be dialled")
    if len(addresses) == 1:
        return await _connect(addresses[0], port, keepalive)
    return await _race(addresses, port, keepalive)


async def _race(addresses: Sequence[str], port: int, keepalive: KeepAlive) -> socket.socket:
    """Try each address once the one before has failed or STAGGER has passed; losers are closed."""
    won: list[socket.socket] = []
    failures: list[DialError] = []

    async def attempt(address: str, failed: trio.Event) -> None:
        try:
            sock = await _connect(address, port, keepalive)
        except DialError as error:
            failures.append(error)
            failed.set()
            return
        won.append(sock)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for address in addresses:
            failed = trio.Event()
            nursery.start_soon(attempt, address, failed)
            with trio.move_on_after(STAGGER):
                await failed.wait()
    for loser in won[1:]:
        loser.close()
    if not won:
        raise failures[-1]
    return won[0]


async def _connect(address: str, port: int, keepalive: KeepAlive) -> socket.socket:
    """Connect to one address; raises DialError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        keepalive.apply(sock)
        number = sock.connect_ex((address, port))
        if number == errno.EINPROGRESS:
            await trio.lowlevel.wait_writable(sock)
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except BaseException:
        sock.close()
        raise
    if number:
        sock.close()
        raise DialError(os.strerror(number))
    return sock
