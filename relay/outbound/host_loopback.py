"""The way to the host's own loopback, for the ports alone that are open; the second way out.

Each port is judged right before its connect(), in the same step, as in door.py. Nothing here is
held or dialled again: no network is in between, and what refuses now refuses alone too.
"""

import errno
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final

import trio

from relay import sockets
from relay.addresses import Destination, Endpoint, is_ipv4, is_loopback
from relay.outbound import icmp
from relay.outbound.door import DeniedError
from relay.outbound.opener import Opened
from relay.outbound.patience import NO_ANSWER, DialError
from relay.policy import host_ports
from relay.policy.host_ports import IPV6, HostItself, HostPorts
from relay.policy.policy import Policy
from relay.policy.verdicts import Allow, Deny
from relay.record.events import Dialled, Event
from relay.record.kinds import kind_of_errno

_IPV4: Final = "127.0.0.1"
_CODES: Final = {errno.ECONNREFUSED: icmp.REFUSED, errno.ETIMEDOUT: NO_ANSWER}


@dataclass(eq=False)
class HostLoopback:
    """Dials the host's loopback for programs."""

    itself: HostItself
    """By which address and names programs dial it, beside those of loopback."""
    _ports: HostPorts
    _policy: Policy
    """Whose rules may change in place: CurrentPolicy."""
    _record: Callable[[Event], None]
    _connect: Callable[[socket.socket, Endpoint], Awaitable[int]] = sockets.connect

    def covers(self, address: str) -> bool:
        """Return whether an address that a program dials means the host's loopback."""
        return is_loopback(address) or address in (self.itself.address, *self.itself.names)

    def destination(self, dialled: Endpoint) -> Destination:
        """Return an endpoint as it is recorded, and judged."""
        address, port = dialled
        if address in (self.itself.address, *self.itself.names):
            return Destination(self.itself.names[0], port)
        return Destination(IPV6 if address == "::1" else address, port)

    def is_open(self, port: int) -> bool:
        """Return whether a source has opened a port, whatever the rules say of it."""
        return self._ports.why(port) is not None

    def judge(self, destination: Destination) -> Allow | Deny:
        """Judge a port of the host's loopback, by whichever name or address it was dialled."""
        return host_ports.judge(destination, self.itself, self._ports, self._policy)

    async def open(self, destination: Destination, number: int) -> Opened:
        """Connect for connection `number`, to the family that was dialled or else to the other.

        Raises DialError.
        """
        began = trio.current_time()
        failures: list[DialError] = []
        for address in _addresses(destination.host):
            try:
                sock = await self._reach(destination, address)
            except DialError as error:
                failures.append(error)
            else:
                seconds = trio.current_time() - began
                self._record(Dialled(connection=number, address=address, seconds=seconds))
                return Opened(sock, (address, destination.port), destination)
        raise failures[0]

    async def _reach(self, destination: Destination, address: str) -> socket.socket:
        """Connect to one address of the loopback; raises DialError."""
        verdict = self.judge(destination)
        if isinstance(verdict, Deny):
            raise DeniedError(verdict, "")
        if not self._ports.holds(destination.port, address):
            raise _failure(errno.ECONNREFUSED)
        family = socket.AF_INET if is_ipv4(address) else socket.AF_INET6
        try:
            sock = sockets.stream(family)
        except OSError as error:  # no descriptor left, or no IPv6
            raise _failure(error.errno or 0) from error
        number = errno.EIO
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            number = await self._connect(sock, (address, destination.port))
            if not number and sock.getsockname()[:2] == (address, destination.port):
                number = errno.ECONNREFUSED  # the kernel chose that very port, and nobody listens
        except OSError as error:
            number = error.errno or number
        finally:  # cancelled, too
            if number:
                sock.close()
        if number:
            raise _failure(number)
        return sock


def _addresses(dialled: str) -> Iterator[str]:
    """Yield what is dialled for the host of a Destination, in order."""
    if dialled == IPV6:
        yield from ("::1", _IPV4)
    elif is_ipv4(dialled) and is_loopback(dialled):
        yield from (dialled, "::1")
    else:
        yield from (_IPV4, "::1")


def _failure(number: int) -> DialError:
    return DialError(os.strerror(number), kind_of_errno(number), number, _CODES.get(number))
