"""The listening sockets on the host by which a port inside is reached: what is bound, and where.

Without being asked for another address, it is loopback alone, of both families: what a browser
dials for `localhost` is ::1 first.
"""

import contextlib
import errno
import socket
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

from netns.errors import KeeplineError
from relay.addresses import MAX_PORT
from relay.config.publishing import LOOPBACK, Publication

_BACKLOG: Final = 4096
_FURTHER: Final = (10000, 20000, 30000, 0)
"""Added to a port that is taken; 0: whichever the kernel chooses."""
_TRIES: Final = 8
"""For a port that the kernel has chosen over IPv4, and that is taken over IPv6."""

_LACKING: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""The host has no IPv6, or none on its loopback."""
_TAKEN: Final = frozenset({errno.EADDRINUSE, errno.EACCES})
"""Another program listens there, or it is one of the ports that are root's."""


class OnHost(NamedTuple):
    """Sockets that listen on the host for one port inside; whoever has this owns them."""

    port: int
    """Of the host."""
    sockets: Sequence[socket.socket]
    why: str = ""
    """Why it is another port than the one inside, if it was not asked for."""

    def close(self) -> None:
        """Close all of them."""
        for sock in self.sockets:
            sock.close()


Asked: TypeAlias = tuple[Publication, OnHost]
"""What was asked for, and the sockets that listen for it."""


def open_all(publications: Iterable[Publication], opened: contextlib.ExitStack) -> list[Asked]:
    """Listen where it was asked for, until the stack ends; raises KeeplineError."""
    return [
        (each, opened.enter_context(contextlib.closing(open_asked(each)))) for each in publications
    ]


def open_asked(publication: Publication) -> OnHost:
    """Listen where it was asked for, exactly; raises KeeplineError."""
    port, addresses = publication.host_port, publication.addresses
    try:
        return _listen(addresses, port)
    except OSError as error:
        raise KeeplineError(
            f"--publish: port {port} of {' and '.join(addresses)}: {error.strerror}",
            _next_step(error.errno, publication),
        ) from error


def _next_step(number: int | None, publication: Publication) -> str:
    """Return what to do about a port that cannot be listened at."""
    port, inside = publication.host_port, publication.port
    if number == errno.EADDRNOTAVAIL:
        return "name an address that this host has: ip address show"
    if number == errno.EACCES:
        return f"take a port that is not root's, such as --publish {port + 8000}:{inside}"
    other = port + 10000 if port + 10000 <= MAX_PORT else port - 10000
    return f"take another port of the host, as in --publish {other}:{inside}"


def open_near(port: int, before: OnHost | None = None) -> OnHost:
    """Listen at loopback, where it was `before`, or else at the same port as inside, or elsewhere.

    What is root's, or another program's, is left to them. Raises OSError.
    """
    failed: OSError | None = None
    if before is not None and before.port != port:
        with contextlib.suppress(OSError):  # it is somebody else's by now
            return _listen(LOOPBACK, before.port)._replace(why=before.why)
    for wanted in (port, *(port + each if each else 0 for each in _FURTHER)):
        if wanted > MAX_PORT:
            continue
        try:
            found = _listen(LOOPBACK, wanted)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            failed = failed or error
        else:
            return found._replace(why=(failed.strerror or "") if failed else "")
    assert failed is not None
    raise failed


def _listen(addresses: Sequence[str], port: int) -> OnHost:
    """Listen at all of these addresses, at one port; raises OSError."""
    for left in reversed(range(_TRIES)):
        try:
            return _listen_once(addresses, port)
        except OSError as error:
            if port or not left or error.errno != errno.EADDRINUSE:
                raise
    raise AssertionError("the last try returns or raises")


def _listen_once(addresses: Sequence[str], port: int) -> OnHost:
    with contextlib.ExitStack() as on_failure:
        sockets: list[socket.socket] = []
        for address in addresses:
            try:
                sock = on_failure.enter_context(_bound(address, port))
            except OSError as error:
                if sockets and error.errno in _LACKING:
                    continue
                raise
            sockets.append(sock)
            port = sock.getsockname()[1]
        on_failure.pop_all()
    return OnHost(port, sockets)


def _bound(address: str, port: int) -> socket.socket:
    """Return a socket that listens at one address; accepted ones inherit TCP_NODELAY."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
