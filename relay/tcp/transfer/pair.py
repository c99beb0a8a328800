"""The two ends that a pump joins: what became of each, how their pair ended, and who may end it."""

import contextlib
import errno
import math
import socket
from dataclasses import dataclass

import trio

from relay.outbound.opener import Opened
from relay.record.events import Closer, How
from relay.record.kinds import Kind, kind_of
from relay.sockets import resets_on_close
from relay.tcp.transfer import losses


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
        self.program = Side(program, "program", now)
        self.upstream = Side(upstream.sock, "upstream", now)
        self.outcome = Outcome()
        self.is_over = False
        """Whether both directions are to end, or have."""

    def note_loss(self, side: Side, error: OSError) -> None:
        """Keep the first loss; it counts more than a FIN before it."""
        if side.loss is None:
            side.loss = error
        if self.outcome.cause is None:
            cause = error.strerror or str(error)
            self.outcome = Outcome(side.closer, losses.how(error), cause, kind_of(error))

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
        return upstream.sock if upstream.is_open and not upstream.ended else None

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
