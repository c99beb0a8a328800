"""Floods of programs: each function makes one, and tells what it has met."""

import errno
import resource
import select
import socket
from collections import Counter
from collections.abc import Iterable
from typing import Final

_SOON: Final = 0.2
"""Seconds without news of any connect, after which all that are left are pending."""

_kept: list[socket.socket] = []


def allow_descriptors(count: int) -> None:
    """Let this program open so many."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


def connect_many(addresses: list[str], port: int, count: int, ports: int = 1) -> dict[str, int]:
    """Begin so many connects at once, to each of the addresses in turn; count what each meets.

    Once all of them had their turn, they have it at the next port, up to so many `ports`.

    A connect that has met nothing after all others have is counted as pending; all are kept.
    """
    found = [(address, port + more) for more in range(ports) for address in addresses]
    return Counter(_connected(found, count, _SOON))


def _connected(endpoints: list[tuple[str, int]], count: int, patience: float) -> Iterable[str]:
    poll, pending = select.poll(), dict[int, socket.socket]()
    for number in range(count):
        sock = socket.socket()
        sock.setblocking(False)
        met = sock.connect_ex(endpoints[number % len(endpoints)])
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


def hold_many(address: str, port: int, count: int, at_once: int = 1000) -> dict[str, int]:
    """Connect so many times, some at once, and keep all; count what each has met."""
    met = Counter[str]()
    for begun in range(0, count, at_once):
        met.update(_connected([(address, port)], min(at_once, count - begun), 30.0))
    return met


def standing() -> int:
    """Return how many stand: the relay resets what the kernel has accepted beyond its limit."""
    return sum(map(_stands, _kept))


def _stands(sock: socket.socket) -> bool:
    """Return whether a connection has neither ended nor failed; its server says nothing."""
    try:
        return bool(sock.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False


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
