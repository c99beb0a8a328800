"""The two ends that a pump joins: what became of each, how their pair ended, and who may end it."""

import contextlib
import errno
import math
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import trio

from relay.outbound.opener import Opened
from relay.record.events import Closer, Excuse, How
from relay.record.kinds import Kind, kind_of
from relay.sockets import resets_on_close
from relay.tcp.transfer import losses
from relay.tcp.transfer.dialogue import Dialogue

_DRAIN_LIMIT: Final = 60.0
"""Seconds for a peer that does not read."""


@dataclass(slots=True)
class Side:
    """One of the two sockets, and what became of it."""

    sock: socket.socket
    closer: Closer
    last_byte: float
    """When the last byte came from here, on trio's clock."""
    received: int = 0
    loss: OSError | None = None
    """Set by whichever call saw it first: the kernel reports a socket's error only once."""
    ended: bool = False
    """Its FIN has arrived."""
    is_urgent: bool = False
    """Whether what was read last is an urgent byte."""

    @property
    def is_open(self) -> bool:
        """Whether its socket is: upstream's is not while another one is dialled."""
        return self.sock.fileno() != -1


@dataclass(slots=True)
class Outcome:
    """How a pair ended."""

    by: Closer = "keepline"
    how: How = "session-end"
    cause: str | None = None
    kind: Kind = Kind.SESSION_END


class Pair:
    """A program's socket and its upstream socket. It is what liveness watches, Watched."""

    def __init__(
        self,
        program: socket.socket,
        upstream: Opened,
        *,
        number: int = 0,
        retire_after: float = math.inf,
    ) -> None:
        """Take both sockets over; they are non-blocking.

        `number` and `retire_after` are those of standing.Watched.
        """
        now = trio.current_time()
        self.number = number
        self.retire_after = retire_after
        self.reached = upstream.reached
        self.destination = upstream.destination
        self.carrier = upstream.carrier
        """The socket that leads to a proxy, where upstream's ends in the relay itself."""
        self.program = Side(program, "program", now)
        self.upstream = Side(upstream.sock, "upstream", now)
        self.outcome = Outcome()
        self.is_over = False
        """Whether both directions are to end, or have."""
        self.dialogue = Dialogue()
        self.has_gone: Callable[[], bool] = lambda: False
        """Returns whether the program has closed its side, and not only half of it."""
        self.excuse: Excuse = ""
        """Why the loss of upstream is none to tell."""
        self.is_left = False
        """Whether the command has ended: what the program said is delivered, and nothing else."""
        self._draining: trio.CancelScope | None = None

    def note_received(self, side: Side, count: int) -> None:
        """Take note of bytes that came from one side."""
        if side is self.upstream and self.dialogue.asked != self.program.received:
            self.dialogue.turn(self.program.received, side.received)
        side.received += count
        side.last_byte = trio.current_time()

    def note_loss(self, side: Side, error: OSError) -> None:
        """Keep the first loss; it counts more than a FIN before it."""
        if side.loss is None:
            side.loss = error
        if self.outcome.cause is None:
            cause = error.strerror or str(error)
            self.outcome = Outcome(side.closer, losses.how(error), cause, kind_of(error))
            if side is self.upstream and self.outcome.how == "reset":
                with contextlib.suppress(OSError):  # then it is not excused
                    self._excuse_early_answer(0)

    def _excuse_early_answer(self, unread: int) -> None:
        """Look whether upstream, which was reset, had answered in the middle of a request.

        `unread` bytes of the request wait in the program's socket; how many of those sent upstream
        were not acknowledged, the kernel still knows. Raises OSError.
        """
        if self.upstream.is_open:  # else another one was dialled
            unread += losses.unacknowledged(self.upstream.sock)
        seconds = trio.current_time() - self.upstream.last_byte
        sent, received = self.program.received, self.upstream.received
        if self.dialogue.came_early(sent, received, unread, seconds):
            self.excuse = "the answer had come early"

    def excuse_loss(self) -> None:
        """Look whether the program has missed anything by the loss of upstream; raises OSError.

        It is asked when all has been read that came from upstream before.
        """
        if self.has_gone():
            self.excuse = "the program had gone"
        elif self.outcome.how == "reset":
            self._excuse_early_answer(losses.unread(self.program.sock))

    def stop(self) -> None:
        """End both directions, a waiting one with ClosedResourceError."""
        self.is_over = True
        for side in (self.program, self.upstream):
            if side.is_open:
                trio.lowlevel.notify_closing(side.sock)

    @property
    def sock(self) -> socket.socket | None:
        """The upstream socket while it can be watched."""
        upstream = self.upstream
        if not upstream.is_open or upstream.ended:
            return None
        carrier = self.carrier
        if carrier is None:
            return upstream.sock
        return carrier if carrier.fileno() != -1 else None

    @property
    def asked(self) -> float:
        """When the program last sent something, on trio's clock."""
        return self.program.last_byte

    @property
    def answered(self) -> float:
        """When upstream last sent something."""
        return self.upstream.last_byte

    @property
    def may_retire(self) -> bool:
        """Whether upstream has spoken and neither side has ended."""
        return self.upstream.received > 0 and not (self.program.ended or self.upstream.ended)

    def lose(self, error: OSError) -> None:
        """Take note that upstream is lost, which the kernel has not noticed yet.

        What it sent before is still read: after a shutdown, recv returns that and then an end.
        """
        side = self.upstream
        if side.loss is not None or not side.is_open:
            return
        side.loss = error
        with contextlib.suppress(OSError):  # then a FIN is sent, to nobody
            resets_on_close(side.sock)
        self.shut(side, socket.SHUT_RDWR)

    def shut(self, side: Side, how: int) -> None:
        """Have whoever reads from a lost side meet its end, once it has read what had come."""
        try:
            side.sock.shutdown(how)
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # else the kernel has noticed the loss too
                self.stop()

    def lose_sink(self, sink: Side, error: OSError) -> None:
        """Note a loss met while sending: what `sink` had sent before is still to be read.

        The kernel may have refused the call alone, for want of memory: the connection then stands,
        and whoever reads from it would wait for an end that never comes.
        """
        self.note_loss(sink, error)
        if sink.ended:
            self.stop()
        elif sink.is_open:  # else another upstream is being dialled
            if sink is self.upstream:
                with contextlib.suppress(OSError):  # the kernel has noticed the loss too
                    resets_on_close(sink.sock)
            self.shut(sink, socket.SHUT_RD)

    async def pass_loss_on(self) -> None:
        """After a loss, reset the other side once it has all that was received before.

        The program's side too if it is the lost one: if it stands all the same, half of what it was
        to get must not end as if it were all. Where the command has ended, nothing is waited for:
        a program alone that ends with data unread resets its connection at once.
        """
        if self.program.loss is None and self.upstream.loss is None:
            return
        for side in (self.program, self.upstream):
            if side.is_open and (side.loss is None or side is self.program):
                if not self.is_left:
                    with trio.move_on_after(_DRAIN_LIMIT) as self._draining:
                        await losses.drained(side.sock)
                resets_on_close(side.sock)

    def leave(self) -> bool:
        """Deliver what the program said before its end, and end then: nobody reads an answer."""
        self.is_left = True
        if self._draining is not None:
            self._draining.cancel()
        elif self.program.ended:  # its FIN was passed on
            self.stop()
        return True

    def delivered(self) -> int:
        """Return how many bytes of the program's upstream has acknowledged; raises OSError."""
        waiting = losses.unacknowledged(self.upstream.sock) if self.upstream.is_open else 0
        return self.program.received - waiting

    def part(self) -> None:
        """Have both sockets close as those of a program that has ended.

        Upstream's has all of the last words and the FIN, which the kernel delivers in the
        background, unless there are data unread: a close would then be a reset, and discard them.
        A process that was left behind, and still reads, is not to take the end for a clean one.
        """
        with contextlib.suppress(OSError):  # lost in the meantime
            losses.discard(self.upstream.sock)
        with contextlib.suppress(OSError):
            resets_on_close(self.program.sock)

    def retire(self, cause: str) -> None:
        """Close an idle pair before somebody else does it in the middle of a request."""
        self.outcome = Outcome("keepline", "fin", cause, Kind.RETIRED)
        for side in (self.program, self.upstream):
            with contextlib.suppress(OSError):  # lost in the meantime
                side.sock.shutdown(socket.SHUT_WR)
        self.stop()

    def abort(self) -> None:
        """End both directions at once; both peers see a reset."""
        for side in (self.program, self.upstream):
            if side.is_open:
                with contextlib.suppress(OSError):  # then it is closed as it is
                    resets_on_close(side.sock)
        self.stop()
