"""`keepline relay --socket PATH`: serves sealed containers, each in a process of its own.

This process accepts and forks, and takes nothing that a container sends: a descriptor whose close
blocks, a listener that is made to, or a fault of ours holds up the session that it came with, and
no other. It ends its sessions when it ends, and the kernel does so if it is killed: then everything
inside is refused.
"""

import codecs
import contextlib
import math
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn

import trio

from netns import syscalls
from netns.errors import KeeplineError
from relay import flags, startup
from relay.command.signals import heeded
from relay.config import Sources
from relay.host.interfaces import require_ipv4
from relay.host.resolvers import read_resolv_conf
from relay.printing import warn
from relay.remote import channel, descriptors, messages, outside, socket_file

MOST_SESSIONS: Final = 64
"""Containers that are served at a time."""

_USAGE: Final = "keepline relay --socket PATH [options]"
_ENDING: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
ENDS_IN: Final = outside.DRAIN + 5
"""Seconds after which a session is killed that was asked to end, or has lost its container."""
_CODECS: Final = ("ascii", "idna", "latin-1", "punycode")
"""What sessions read and write text by: they are made once no module comes from a file."""
_PAUSE: Final = 1.0
"""Seconds after which a container that could not be accepted is tried again."""
_SIGINFO: Final = 128
_NUMBER: Final = struct.Struct("=I124x")
"""The first field of struct signalfd_siginfo."""


def main(arguments: Sequence[str]) -> int:
    """Serve until a signal asks to end; return the exit status."""
    parser = flags.Parser(prog="keepline relay", usage=_USAGE, description=_DESCRIPTION)
    parser.add_argument("--socket", required=True, metavar="PATH", help="where containers connect")
    flags.add_settings(parser)
    parsed = parser.parse_args(arguments)
    sources = flags.sources(parsed)
    _require(sources)
    with startup.without_library_search():
        startup.load(trio)
    for name in _CODECS:
        codecs.lookup(name)
    startup.seal(gateway=True, proxy=True)
    with socket_file.listening(Path(parsed.socket)) as listener:
        _Relay(listener, lambda sock: outside.serve(sock, sources, warn)).run()
    return 0


_DESCRIPTION: Final = "Relay for containers that have no network: keepline run --relay PATH inside."


def _require(sources: Sources) -> None:
    """Raise KeeplineError where no session could be had."""
    settings = sources.settings()
    if settings.relay:
        raise KeeplineError("a relay has no relay of its own", "leave out --relay, KEEPLINE_RELAY")
    settings.policy()
    require_ipv4()
    read_resolv_conf(settings.nameservers)
    descriptors.own_cookie()


class _Session:
    """A process that serves a container, and what shows here that its container is gone."""

    def __init__(self, sock: socket.socket) -> None:
        """Take our copy of the connection over, from which nothing is read here."""
        self.sock = sock
        self.killed_at = math.inf
        """On the monotonic clock: a container may have made its session block for ever."""


class _Relay:
    """The process that accepts, and its sessions."""

    def __init__(self, listener: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        self._listener = listener
        self._serve = serve
        self._sessions: dict[int, _Session] = {}
        """By the ids of their processes."""
        self._ending = frozenset(heeded(_ENDING))
        held = {*self._ending, signal.SIGCHLD}
        self._signals = syscalls.signalfd(held, os.O_CLOEXEC | os.O_NONBLOCK)
        signal.pthread_sigmask(signal.SIG_BLOCK, held)
        self._held = held
        self._poll = select.poll()
        self._poll.register(self._signals, select.POLLIN)
        self._poll.register(self._listener, select.POLLIN)

    def run(self) -> None:
        """Serve until a signal asks to end, then end the sessions; a second signal is in haste.

        A session may end at any time. Signals are read before sessions are reaped, and then waited
        for: the SIGCHLD of one that ends in between is still unread, and ends the wait at once.
        """
        while not self._came() & self._ending:
            self._reap()
            self._wait()
            self._accept()
        self._signal(signal.SIGTERM)
        self._listener.close()
        poll = select.poll()
        poll.register(self._signals, select.POLLIN)
        deadline = time.monotonic() + ENDS_IN
        self._reap()  # of those that have ended by now the signal may have been read
        while self._sessions and (left := deadline - time.monotonic()) > 0:
            poll.poll(left * 1000)
            if self._came() & self._ending:
                break
            self._reap()
        self._signal(signal.SIGKILL)
        for pid in self._sessions:
            os.waitpid(pid, 0)

    def _wait(self) -> None:
        """Wait for a signal or a container; kill sessions that have lost theirs for ENDS_IN."""
        due = min((session.killed_at for session in self._sessions.values()), default=math.inf)
        left = None if due == math.inf else max(0.0, due - time.monotonic()) * 1000
        hung_up = {fd for fd, _events in self._poll.poll(left)}
        now = time.monotonic()
        for pid, session in self._sessions.items():
            if session.sock.fileno() in hung_up:
                self._poll.unregister(session.sock)
                session.killed_at = now + ENDS_IN
            elif session.killed_at <= now:
                session.killed_at = math.inf
                os.kill(pid, signal.SIGKILL)

    def _came(self) -> set[int]:
        """Return the signals that have come."""
        try:
            data = os.read(self._signals, _SIGINFO * 8)
        except BlockingIOError:
            return set()
        return {number for (number,) in _NUMBER.iter_unpack(data)}

    def _signal(self, number: int) -> None:
        for pid in self._sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _reap(self) -> None:
        """Forget the sessions that have ended; their results are theirs."""
        for pid in tuple(self._sessions):
            if os.waitpid(pid, os.WNOHANG)[0]:
                session = self._sessions.pop(pid)
                with contextlib.suppress(KeyError):  # its container is gone
                    self._poll.unregister(session.sock)
                session.sock.close()

    def _accept(self) -> None:
        """Fork a session for a container that waits, if one does.

        No more than one: who connects again and again would keep us from all else, such as the
        signal to end, and the sessions that have ended and hold places.
        """
        try:
            sock, _path = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            warn(f"a container was not accepted: {error.strerror}")
            time.sleep(_PAUSE)  # it waits: without a pause nothing else would be done
            return
        if len(self._sessions) < MOST_SESSIONS:
            self._fork(sock)
            return
        with sock:
            _turn_away(sock)

    def _fork(self, sock: socket.socket) -> None:
        """Fork a session, and keep the connection, too, to see when its container is gone."""
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            sock.close()
            warn(f"no process for a container: {error.strerror}")
            return
        if pid == 0:
            self._be_session(sock, parent)
        self._sessions[pid] = _Session(sock)
        self._poll.register(sock, 0)  # POLLHUP alone

    def _be_session(self, sock: socket.socket, parent: int) -> NoReturn:
        """Be a session, and end with the process that accepts, prctl(2)."""
        status = 1
        try:
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
            if os.getppid() == parent:
                self._listener.close()
                for session in self._sessions.values():
                    session.sock.close()
                os.close(self._signals)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, self._held)
                self._serve(sock)
                status = 0
        except Exception as error:  # noqa: BLE001 - a fork must not return into its parent's code
            warn(f"a session ended by {type(error).__name__}: {error}")
        finally:
            os._exit(status)


def _turn_away(sock: socket.socket) -> None:
    """Refuse a container, for there are too many."""
    cause = f"the relay serves {MOST_SESSIONS} containers already"
    with contextlib.suppress(OSError):
        sock.setblocking(False)  # noqa: FBT003 - positional only
        channel.send(sock, messages.Refused(cause, "end some, or start another relay for others"))
