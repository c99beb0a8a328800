"""Slow programs at the gateway: connections that are opened, and never brought to an end."""

import contextlib
import socket
import time
from collections import Counter
from typing import Final

_ADDRESS: Final = ("127.0.0.1", 4430)

_kept: list[socket.socket] = []


def open_many(count: int, words: bytes) -> None:
    """Open so many connections, and say so much on each of them."""
    for _ in range(count):
        sock = socket.create_connection(_ADDRESS)
        with contextlib.suppress(ConnectionError):
            sock.sendall(words)
        sock.setblocking(False)
        _kept.append(sock)


def ends() -> dict[str, int]:
    """Count what the connections have come to."""
    return Counter(map(_end, _kept))


def _end(sock: socket.socket) -> str:
    try:
        return "fin" if not sock.recv(65536) else "data"
    except BlockingIOError:
        return "open"
    except ConnectionError:
        return "reset"


def ask(words: bytes) -> tuple[bytes, float]:
    """Ask on a connection of its own; return the answer's first line, and how long it took."""
    began = time.monotonic()
    with socket.create_connection(_ADDRESS) as sock:
        sock.sendall(words)
        return sock.recv(65536).partition(b"\r\n")[0], time.monotonic() - began
