"""Two programs that send each other urgent data, and tell what they have read around it.

`urgent("connect", ADDRESS, PORT, HOW)` and `urgent("accept", ADDRESS, PORT, HOW)` give their
command lines; HOW is `inline` for SO_OOBINLINE, or `apart`.
"""

import fcntl
import select
import socket
import struct
import sys
from typing import Final

_MODULE: Final = "tests.support.command.urgent"  # also where this is the main program
_PATIENCE: Final = 20
_SIOCATMARK: Final = 0x8905
_SIZES: Final = (3_000_000, 5)
"""Of what comes before an urgent byte."""


def urgent(*arguments: str) -> list[str]:
    """Return the command line of a program of this module."""
    return [sys.executable, "-I", "-m", _MODULE, *arguments]


def connect(address: str, port: str, how: str) -> None:
    """Speak first."""
    with socket.create_connection((address, int(port)), _PATIENCE) as sock:
        _speak(sock)
        _hear(sock, how)


def accept(address: str, port: str, how: str) -> None:
    """Hear first; tell that it listens before."""
    with socket.create_server((address, int(port))) as listener:
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        with listener.accept()[0] as sock:
            sock.settimeout(_PATIENCE)
            _hear(sock, how)
            _speak(sock)


def _speak(sock: socket.socket) -> None:
    """Send bytes, an urgent one behind much, and one behind little."""
    for size in _SIZES:
        sock.sendall(b"b" * size)
        sock.send(b"!", socket.MSG_OOB)
        sock.sendall(b"a" * 5)
        sock.recv(1)


def _hear(sock: socket.socket, how: str) -> None:
    """Read the same, each urgent byte as POLLPRI, SIOCATMARK and MSG_OOB show it; tell it."""
    if how == "inline":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_OOBINLINE, 1)
    poll = select.poll()
    poll.register(sock, select.POLLPRI)
    for size in _SIZES:
        while size := size - len(sock.recv(min(size, 65536))):
            pass
        is_told = bool(poll.poll(_PATIENCE * 1000))
        is_here = _at_mark(sock)
        byte = sock.recv(1) if how == "inline" else sock.recv(1, socket.MSG_OOB)
        after = b""
        while len(after) < 5:
            after += sock.recv(5 - len(after))
        sys.stdout.write(f"{is_told} {is_here} {byte.decode()} {after.decode()}\n")
        sock.send(b"k")


def _at_mark(sock: socket.socket) -> bool:
    (mark,) = struct.unpack("i", fcntl.ioctl(sock, _SIOCATMARK, bytes(4)))
    return bool(mark)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
