"""What a program does with the ports of its loopback; calls for driver.py, as program.py's are."""

import errno
import select
import socket
import time
from typing import Final

from tests.support.command.program import PATIENCE

ALL: Final = range(1, 65536)
_listeners: dict[int, list[socket.socket]] = {}


def exchanged(host: str, port: int) -> bytes:
    """Connect to an address as it is written, say something and end; return what is answered."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.connect((host, port))
        sock.sendall(b"hello")
        sock.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: sock.recv(4096), b""))


def refusal(host: str, port: int) -> str:
    """Connect to an address as it is written; return the errno's name of connect(2), or nothing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        number = sock.connect_ex((host, port))
        return errno.errorcode[number] if number else ""


def reached(host: str, ports: range = ALL) -> list[int]:
    """Connect to each port in turn; return those that are reached, but for the socket's own."""
    found = []
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in ports:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.settimeout(PATIENCE)
            if not sock.connect_ex((host, port)) and sock.getsockname() != sock.getpeername():
                found.append(port)
    return found


def listen(host: str, port: int, reuse: int = 0) -> str:
    """Listen, without SO_REUSEADDR or with it, and keep it; return the errno's name, or nothing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    try:
        sock.bind((host, port))
        sock.listen(128)
    except OSError as error:
        sock.close()
        return errno.errorcode[error.errno or 0]
    _listeners.setdefault(port, []).append(sock)
    return ""


def stop_listening(port: int) -> None:
    """Close all listeners of a port."""
    for sock in _listeners.pop(port):
        sock.close()


def has_connection(port: int) -> bool:
    """Wait for a connection to a listener of a port; return whether one has come."""
    return bool(select.select(_listeners[port], [], [], PATIENCE)[0])


def taken(host: str, port: int, count: int) -> int:
    """Connect so often; return how many of the connections a listener here has accepted.

    Each is ended by its program first, so that its port here is free at once.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = _listeners[port][-1]
    accepted = 0
    for _ in range(count):
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.connect((host, port))
        if select.select([listener], [], [], 0)[0]:
            with listener.accept()[0]:
                sock.close()
                accepted += 1
        sock.close()
    return accepted


def can_listen(port: int) -> str:
    """Listen in each way on a port, one after the other; return the first failure, or nothing.

    It is tried for a while: what ends a connection may come after what its program has seen.
    """
    failure = ""
    deadline = time.monotonic() + PATIENCE
    for host in ("127.0.0.1", "0.0.0.0", "::1", "::"):
        while failure := listen(host, port):
            if time.monotonic() > deadline:
                return f"{host}: {failure}"
            time.sleep(0.01)
        stop_listening(port)
    return failure
