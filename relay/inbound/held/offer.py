"""An offer whose connect() is pending, until it is accepted, refused or withdrawn."""

import errno
import socket
from collections.abc import Callable
from typing import Protocol

import trio

from relay.inbound.held.segments import Syn
from relay.inbound.listener import AcceptedOffer
from relay.inbound.offer import GIVEN_UP, Refusal


class Holder(Protocol):
    """What holds the SYN of an offer."""

    def is_pending(self, offer: "HeldOffer") -> bool:
        """Return whether an offer is held, and its program has not given up."""

    def send_again(self, offer: "HeldOffer") -> None:
        """Let the kernel accept a SYN, and take what it has accepted; raises OSError."""

    def refuse(self, offer: "HeldOffer", refusal: Refusal) -> None:
        """Answer a SYN that is held; if that fails, the program's kernel sends it again."""

    def has_time_wait(self, offer: "HeldOffer", received: int) -> bool:
        """End the TIME_WAIT of a connection; return whether it is still to come."""

    def forget(self, offer: "HeldOffer") -> None:
        """Hold a SYN no longer; the offer is closed."""


class HeldOffer:
    """An offer whose connect() is pending."""

    def __init__(self, syn: Syn, holder: Holder) -> None:
        self.source = syn.source
        self.destination = syn.destination
        self.syn = syn
        """Its newest copy."""
        self.is_accepting = False
        """Whether its SYN is being sent again, or was."""
        self._holder = holder
        self._accepted: AcceptedOffer | None = None
        self._settled = trio.Event()
        """Set once it is accepted, or withdrawn."""
        self._is_withdrawn = False
        self._withdrawn: Callable[[], None] = lambda: None
        self.withdrawal = GIVEN_UP

    @property
    def is_held(self) -> bool:
        """Whether the connect() is pending."""
        return self._accepted is None

    @property
    def is_wanted(self) -> bool:
        """Whether the program still waits for its connect(), or has a connection to use."""
        if self._accepted is not None:
            return self._accepted.is_wanted
        return self._holder.is_pending(self)

    @property
    def has_ended(self) -> bool:
        """Whether the program's FIN has arrived."""
        return self._accepted is not None and self._accepted.has_ended

    @property
    def has_words(self) -> bool:
        """Whether data are here: none while the connect() is pending."""
        return self._accepted is not None and self._accepted.has_words

    def on_withdrawal(self, call: Callable[[], None]) -> None:
        """Have `call` called once the program gives its connect() up, at once if it has.

        It may have done so before the task that serves the offer has run at all.
        """
        self._withdrawn = call
        if self._is_withdrawn:
            call()

    async def accept(self) -> socket.socket:
        """Send the SYN again, and return the socket that the kernel has accepted.

        Over lo the whole handshake takes place while the SYN is being sent, so there is hardly ever
        anything to wait for. Raises ECONNABORTED if the program has given up.
        """
        if self._accepted is None:
            self.is_accepting = True
            self._holder.send_again(self)
            if self._accepted is None and self._holder.is_pending(self):
                await self._settled.wait()
        if self._accepted is None:
            raise ConnectionAbortedError(errno.ECONNABORTED, self.withdrawal)
        return await self._accepted.accept()

    def refuse(self, refusal: Refusal, why: str = "") -> None:  # noqa: ARG002 - SYNs have no words
        """Answer the SYN by a RST or an ICMP message, or leave it without an answer."""
        if self._accepted is not None:
            self._accepted.refuse(refusal)
        else:
            self._holder.refuse(self, refusal)

    def has_time_wait(self, received: int) -> bool:
        """Have its end leave no trace; return whether that is still to be done."""
        return self._holder.has_time_wait(self, received)

    def close(self) -> None:
        """Forget the SYN; close the socket, if there is one."""
        self._holder.forget(self)
        if self._accepted is not None:
            self._accepted.close()

    def complete(self, accepted: AcceptedOffer) -> None:
        """Take the connection that the kernel has accepted."""
        self._accepted = accepted
        self._settled.set()

    def withdraw(self, why: str) -> None:
        """Take note that it is not held any more."""
        self.withdrawal = why
        self._is_withdrawn = True
        self._settled.set()
        self._withdrawn()
