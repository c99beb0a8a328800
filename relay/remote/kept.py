"""The sockets of a sealed container, kept where they were made: handed over, deaf, or heard again.

A listener that is shut down listens no more, whoever has copies of it, and its kernel refuses what
comes; and with it the rule goes that holds SYNs (interception.py). A UDP socket that is connected
to nobody takes nothing, so that questions are refused as by a port where nobody is. Both are undone
by the same calls that a server makes at its start.
"""

import contextlib
import errno
import socket
from collections.abc import Sequence
from typing import Final

from netns import syscalls
from netns.handoff import Listeners
from netns.process.socket_maker import SocketMaker
from relay.remote import messages

_BACKLOG: Final = 4096
_NOBODY: Final = ("127.0.0.1", 9)
"""The discard port, of which no program asks names."""
_MOST: Final = 1 << 16


class Kept:
    """The sockets; whoever has this owns them."""

    def __init__(self, listeners: Listeners, maker: SocketMaker) -> None:
        """Take what was made; what makes more of them need not be there."""
        self._listeners = listeners
        self._maker = maker
        self._places = [(sock, sock.getsockname()) for sock in listeners.listening()]

    def handover(self) -> tuple[messages.Handover, Sequence[int]]:
        """Return the message, and the descriptors that go with it in their order."""
        made, syns = self._listeners, self._listeners.syns
        message = messages.Handover(
            intercept=made.intercept,
            listeners=len(made.tcp),
            holds=syns is not None,
            holds_ipv6=syns is not None and syns.ipv6 is not None,
            makes=self._maker.end is not None,
            notes=_lines(made.notes),
            held_notes=_lines(made.held_notes),
        )
        held = syns.all() if syns is not None else ()
        channel = (self._maker.end,) if self._maker.end is not None else ()
        sockets = (made.dns_udp, made.dns_tcp, made.diag, *held, *channel, *made.tcp)
        return message, [sock.fileno() for sock in sockets]

    def deafen(self) -> None:
        """Have everything refused from now on; it may be so already.

        One that does not listen is left alone: shut down, it would pass that on to all connections
        that it accepts later, which would be at their end at once.
        """
        for sock, _place in self._places:
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                sock.shutdown(socket.SHUT_RD)
        with contextlib.suppress(OSError):
            self._listeners.dns_udp.connect(_NOBODY)

    def hear(self) -> None:
        """Listen again, at the same ports, to what comes from now on; raises OSError."""
        if self._listeners.syns is not None:
            _empty(self._listeners.syns.log)
        if self._maker.end is not None:
            _empty(self._maker.end)
        for sock, place in self._places:
            try:
                sock.bind(place)  # a port that the kernel has chosen was given back
            except OSError as error:
                if error.errno != errno.EINVAL:  # it still has it
                    raise
            sock.listen(_BACKLOG)
        syscalls.disconnect(self._listeners.dns_udp.fileno())

    def close(self) -> None:
        """Close all of them."""
        self._listeners.close()


def _lines(notes: Sequence[str]) -> tuple[str, ...]:
    return tuple(note[:256] for note in notes[: messages.MOST_NOTES])


def _empty(sock: socket.socket) -> None:
    """Throw away what waits to be read: it is about what has been refused."""
    with contextlib.suppress(OSError):  # EAGAIN: nothing is left
        while sock.recv(_MOST, socket.MSG_DONTWAIT):
            pass
