"""What every way in yields: offers, the TCP connections that programs ask for."""

import socket
from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

from relay.addresses import Endpoint


class Refusal(Enum):
    """Why a program does not get a connection: codes of ICMP's destination-unreachable message.

    RFC 792, 1122 section 3.2.2.1, 1812 section 5.2.7.1. A way in that cannot express a reason sends
    the nearest thing that it can.
    """

    NO_ANSWER = -1
    """Nothing is sent: the program's own time-outs end its connect(), or its kernel's."""
    NETWORK_UNREACHABLE = 0
    HOST_UNREACHABLE = 1
    PROTOCOL_UNREACHABLE = 2
    REFUSED = 3
    """Nobody listens there: a RST where that can be sent."""
    NETWORK_PROHIBITED = 9
    HOST_PROHIBITED = 10
    PROHIBITED = 13
    """By a firewall, or by the session's policy."""


GIVEN_UP: Final = "the program gave its connect() up"


class Offer(Protocol):
    """A connection that a program asks for; until it is accepted or refused, it is pending."""

    source: Endpoint
    """The program's end."""
    destination: Endpoint
    """What the program dialled: an address, which may stand for a name, or a name; and a port."""

    withdrawal: str
    """Why it was withdrawn, for people, if it was."""

    @property
    def is_held(self) -> bool:
        """Whether the program's connect() is still pending: no SYN of it was answered."""

    @property
    def is_wanted(self) -> bool:
        """Whether the program still waits for it, and may want more than to close."""

    @property
    def has_ended(self) -> bool:
        """Whether the program's FIN has arrived; what it sent before is still to be relayed."""

    @property
    def has_words(self) -> bool:
        """Whether data of the program are here that nobody has read."""

    def on_withdrawal(self, call: Callable[[], None]) -> None:
        """Have `call` called, in place of the one before, once nobody waits for it any more.

        A way in that does not learn of that need not.
        """

    async def accept(self) -> socket.socket:
        """Complete the connection; return the program's socket, non-blocking, the offer's own."""

    def refuse(self, refusal: Refusal, why: str = "") -> None:
        """Refuse the connection, with as much of the reason as the way in can express.

        `why` is the cause in words, for ways in that have room for words.
        """

    def has_time_wait(self, received: int) -> bool:
        """End the TIME_WAIT that an accepted socket has left, from which so much was `received`.

        Return whether it is still to come, and this to be called again. A way in that cannot end it
        leaves it.
        """

    def close(self) -> None:
        """Release what the offer holds, the accepted socket too; a second call does nothing."""


class Inbound(Protocol):
    """A way in."""

    async def serve(self, start: Callable[[Offer], None]) -> None:
        """Hand each offer to `start` as it comes, until cancelled."""

    def take_waiting(self, start: Callable[[Offer], None]) -> None:
        """Hand over what has come and was not taken yet; raises OSError."""
