"""The container's side of its connection to the relay: hands sockets over, and again if need be.

The relay's end, or its loss, is seen at once. From then on nobody accepts: the sockets, of which
copies are kept here for that, are deaf until a relay listens at the path again and has taken them.
A relay that has other settings of the namespace by then cannot have it: all stays refused.
"""

import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import trio

from netns.errors import KeeplineError
from netns.handoff import Listeners
from netns.process.socket_maker import SocketMaker
from relay.remote import channel, messages
from relay.remote.channel import BrokenError
from relay.remote.kept import Kept

HANDSHAKE: Final = 30.0
"""Seconds for each answer of the relay."""

_PAUSE: Final = 0.2
"""Seconds until the first look for a relay that is away; twice as long after each, up to:"""
_LONGEST_PAUSE: Final = 2.0
_REFUSED_PAUSE: Final = 30.0
"""Seconds after a relay has refused, or has not answered."""

_AWAY: Final = "the relay was away for a time: meanwhile all connections were refused"
_GONE: Final = "the relay has ended: from then on all connections were refused"

_FAILURES: Final = (KeeplineError, EOFError, OSError, BrokenError, ValueError)
"""What a handshake may end with."""

_M = TypeVar("_M", messages.Welcome, messages.Serving, messages.Finished)


class RelayError(KeeplineError):
    """There is no relay at the path, or it refuses."""


class Link:
    """A connection to the relay at a path."""

    def __init__(self, path: Path, hello: messages.Hello) -> None:
        """Connect; raises RelayError."""
        self._path = path
        self._hello = hello
        self._sock = _connected(path)
        self._sock.settimeout(HANDSHAKE)
        self._kept: Kept | None = None
        self._welcome: messages.Welcome | None = None
        self.notes: list[str] = []
        """What is to be said when the command has ended."""

    def close(self) -> None:
        """Close the connection, and the sockets that were handed over."""
        self._sock.close()
        if self._kept is not None:
            self._kept.close()

    def greet(self) -> messages.Welcome:
        """Ask for a session; raises RelayError."""
        with self._errors():
            _tell(self._sock, self._hello)
            self._welcome = _answer(self._sock, messages.Welcome)
            return self._welcome

    def hand_over(self, listeners: Listeners, maker: SocketMaker) -> None:
        """Hand the sockets over, and wait until they are served; raises RelayError."""
        self._kept = Kept(listeners, maker)
        with self._errors():
            _tell(self._sock, *self._kept.handover())
            _answer(self._sock, messages.Serving)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Say what has become of the relay."""
        try:
            yield
        except (EOFError, OSError, BrokenError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error) or "it has ended"
            raise RelayError(
                f"the relay at {self._path} does not answer: {why}",
                "see what keepline relay says outside, and start this again",
            ) from error

    async def keep(self) -> None:
        """Keep the sockets served until cancelled: whenever the relay is lost, wait for another.

        After a fault, this may be called again.
        """
        kept = self._kept
        assert kept is not None
        while True:
            if self._sock.fileno() != -1:
                await trio.lowlevel.wait_readable(self._sock)  # it says nothing before its end
                self._sock.close()
            kept.deafen()
            self.notes = [_GONE]
            await self._found_again(kept)
            self.notes = [_AWAY]

    async def _found_again(self, kept: Kept) -> None:
        """Wait for a relay at the path that takes the sockets; one that refuses is asked seldom."""
        pause = _PAUSE
        while True:
            await trio.sleep(pause)
            try:
                sock = _connected(self._path)
            except RelayError:
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            with contextlib.suppress(*_FAILURES, trio.TooSlowError):
                with trio.fail_after(HANDSHAKE):
                    await self._handed_over_again(sock, kept)
                return
            kept.deafen()
            pause = _REFUSED_PAUSE

    async def _handed_over_again(self, sock: socket.socket, kept: Kept) -> None:
        """Hand the sockets over to a relay, which has to have the same namespace in mind."""
        try:
            sock.setblocking(False)  # noqa: FBT003 - positional only
            # A program keeps what it was told of the gateway at its start.
            _tell(sock, msgspec.structs.replace(self._hello, agent=""))
            await trio.lowlevel.wait_readable(sock)
            welcome = _answer(sock, messages.Welcome)
            self._require_suitable(welcome)
            kept.hear()
            _tell(sock, *kept.handover())
            await trio.lowlevel.wait_readable(sock)
            _answer(sock, messages.Serving)
        except BaseException:
            sock.close()
            raise
        self._sock = sock

    def _require_suitable(self, welcome: messages.Welcome) -> None:
        """Raise RelayError if a relay would have another namespace than there is."""
        if self._welcome is None or not welcome.suits(self._welcome):
            raise RelayError("the relay has other settings", "start the command again")

    async def finish(self, status: int) -> str:
        """Tell that the command has ended, and wait until all is delivered; return what is said."""
        with contextlib.suppress(*_FAILURES):
            self._sock.setblocking(False)  # noqa: FBT003 - positional only
            channel.send(self._sock, messages.Ended(status))
            await trio.lowlevel.wait_readable(self._sock)
            return _answer(self._sock, messages.Finished).line
        return ""


def _tell(sock: socket.socket, message: messages.FromInside, fds: Sequence[int] = ()) -> None:
    """Send a message, whose answer is read next.

    A relay may refuse, and close, before it has read anything: one that serves too many, or not
    this user. Nothing can be sent to it then, while what it has said can still be read.
    """
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        channel.send(sock, message, fds)


def _answer(sock: socket.socket, kind: type[_M]) -> _M:
    """Receive a message of this kind; raises RelayError if the relay refuses, and as channel.py."""
    message = messages.from_outside(channel.receive(sock)[0])
    if isinstance(message, messages.Refused):
        raise RelayError(message.cause, message.next_step)
    if not isinstance(message, kind):
        raise BrokenError("another message than was waited for")
    return message


_NEXT_STEPS: Final = {
    errno.ENOENT: "start keepline relay --socket PATH outside, and mount the folder of PATH here",
    errno.ECONNREFUSED: "start keepline relay again outside; mount the socket's folder, for a new"
    " relay makes a new socket",
    errno.EACCES: "run as the user of the relay, as podman's --userns=keep-id has it, or as root",
    errno.EPROTOTYPE: "name the socket of keepline relay: another program listens at this one",
    errno.EAGAIN: "try again: too many containers ask at once",
}


def _connected(path: Path) -> socket.socket:
    """Connect to the relay at a path; raises RelayError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.setblocking(False)  # noqa: FBT003 - positional only
        sock.connect(str(path))
    except OSError as error:
        sock.close()
        number = errno.ENAMETOOLONG if error.errno is None else error.errno
        next_step = _NEXT_STEPS.get(number, "name the socket of keepline relay, which is outside")
        why = error.strerror or "the path is too long"
        raise RelayError(f"no relay at {path}: {why}", next_step) from error
    return sock
