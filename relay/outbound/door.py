"""The one way out: every TCP connection that the relay makes begins here, and is judged here.

Each address is judged right before its connect(), in the same step: no other task runs in between,
in which the rules could change. What the program has asked for was judged before, in
tcp/handlers.py; a name may lead anywhere, and somewhere else the next time.

What the relay asks on its own account, the proxy of the session, is not judged: its address may be
one that no program reaches, such as the host's loopback. Name servers are asked past the door,
since rules are about what programs reach; dns/lookup/question.py.
"""

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from relay import sockets
from relay.addresses import Destination, Endpoint
from relay.outbound import icmp
from relay.outbound.patience import DialError
from relay.policy.verdicts import Allow, Deny
from relay.record.events.denials import detail
from relay.record.kinds import Kind

_ALLOW: Final = Allow()

MOST: Final = 8
"""Addresses of one answer that are dialled: a zone does not choose how many hosts are."""


class Own(Destination):
    """A server that the relay itself asks, for no program: policy does not judge it.

    No program's destination is one, whatever its host and port are.
    """

    __slots__ = ()


class Judge(Protocol):
    """What is asked of the policy."""

    def judge_unresolved(self, destination: Destination) -> Allow | Deny:
        """Judge what is asked of a proxy: an address, or a name whose addresses nobody knows."""

    def judge_address(self, destination: Destination, address: str) -> Allow | Deny:
        """Judge an address of a destination; the destination's host, if that is one."""


class DeniedError(DialError):
    """Policy forbids every address that there is."""

    def __init__(self, denied: Deny, address: str) -> None:
        """Keep the verdict, and the address that it is about; of several the first."""
        what = f"{address} is denied: {denied.rule}{detail('', denied.reason)}"
        super().__init__(what, Kind.POLICY, code=icmp.PROHIBITED, is_final=True)
        self.denied = denied
        self.address = address
        """Empty if it is what the program asked for itself."""


@dataclass(eq=False)
class Door:
    """Connects sockets to what policy allows."""

    _policy: Judge
    _connect: Callable[[socket.socket, Endpoint], Awaitable[int]] = sockets.connect

    def judge(self, destination: Destination, address: str) -> Allow | Deny:
        """Return whether an address may be dialled now, for this destination."""
        if isinstance(destination, Own):
            return _ALLOW
        return self._policy.judge_address(destination, address)

    def judge_unresolved(self, destination: Destination) -> Allow | Deny:
        """Return whether a proxy may be asked now for a destination."""
        return self._policy.judge_unresolved(destination)

    def among(
        self,
        destination: Destination,
        addresses: list[str],
        note: Callable[[str, Deny], None],
    ) -> list[str]:
        """Return the addresses that may be dialled, MOST at most; raises DeniedError if none may.

        Those that are denied while others are not go to `note`.
        """
        allowed: list[str] = []
        denied: list[tuple[str, Deny]] = []
        for address in addresses:
            verdict = self.judge(destination, address)
            if isinstance(verdict, Deny):
                denied.append((address, verdict))
            else:
                allowed.append(address)
        if denied and not allowed:
            address, verdict = denied[0]
            raise DeniedError(verdict, address)
        for each in denied:
            note(*each)
        return allowed[:MOST]

    def connect(
        self, sock: socket.socket, destination: Destination, address: str
    ) -> Awaitable[int]:
        """Return what connects a non-blocking socket, and then returns 0 or the errno.

        Raises DeniedError at once. It is to be awaited at once.
        """
        verdict = self.judge(destination, address)
        if isinstance(verdict, Deny):
            raise DeniedError(verdict, address)
        return self._connect(sock, (address, destination.port))
