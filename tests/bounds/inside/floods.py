"""Floods of programs: each function makes one, and tells what it has met."""

import errno
import resource
import select
import socket
from collections import Counter
from collections.abc import Iterable

_kept: list[socket.socket] = []


def allow_descriptors(count: int) -> None:
    """Let this program open so many."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


def connect_many(addresses: list[str], port: int, count: int) -> dict[str, int]:
    """Begin so many connects at once, to each of the addresses in turn; count what each meets.

    A connect that has met nothing after all others have is counted as pending; all are kept.
    """
    return Counter(_connected(addresses, port, count, 1.0))


def _connected(addresses: list[str], port: int, count: int, patience: float) -> Iterable[str]:
    poll, pending = select.poll(), dict[int, socket.socket]()
    for number in range(count):
        sock = socket.socket()
        sock.setblocking(False)
        met = sock.connect_ex((addresses[number % len(addresses)], port))
        if met not in (0, errno.EINPROGRESS):
            yield errno.errorcode[met]
            sock.close()
            continue
        _kept.append(sock)
        pending[sock.fileno()] = sock
        poll.register(sock, select.POLLOUT)
    while pending and (found := poll.poll(patience * 1000)):
        for number, _events in found:
            if outcome := _outcome(pending[number]):
                poll.unregister(number)
                del pending[number]
                yield outcome
    yield from ("pending" for _ in pending)


def _outcome(sock: socket.socket) -> str:
    """Return what a connect has met; "" if the kernel has not set its errno yet."""
    met = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if met:
        return errno.errorcode[met]
    try:
        sock.getpeername()
    except OSError:
        return ""
    return "connected"


def close_all() -> None:
    """Close what was kept."""
    while _kept:
        _kept.pop().close()
