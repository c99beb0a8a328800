"""Small programs that end while something of theirs is on its way; each tells when it ended.

`ends("name", "argument")` gives the command line that runs the function of that name here.
"""

import os
import socket
import sys
import time
from typing import Final

_MODULE: Final = "tests.support.command.ends"  # also where this is the main program
_PATIENCE: Final = 30


def ends(name: str, *arguments: str) -> list[str]:
    """Return the command line of a program of this module."""
    return [sys.executable, "-I", "-m", _MODULE, name, *arguments]


def leave(number: int = 0) -> None:
    """Tell the time, CLOCK_MONOTONIC, and be gone: by a signal if its number is given."""
    os.write(1, f"{time.monotonic()}\n".encode())
    if number:
        os.kill(os.getpid(), number)
    os._exit(0)


def _connected(address: str, port: str) -> socket.socket:
    return socket.create_connection((address, int(port)), _PATIENCE)


def asked(address: str, port: str) -> None:
    """Ask, be answered, and keep the connection until the end."""
    connection = _connected(address, port)
    connection.sendall(b"?")
    connection.recv(1)
    leave()


def asking(address: str, port: str, number: str = "0") -> None:
    """Ask, and be gone before the answer."""
    connection = _connected(address, port)
    connection.sendall(b"?" * 100)
    time.sleep(0.2)
    leave(int(number))


def dialling(address: str, port: str, words: str = "") -> None:
    """Connect to who does not answer; say something if the kernel lets us."""
    connection = socket.socket()
    connection.setblocking(False)
    connection.connect_ex((address, int(port)))
    time.sleep(0.3)
    if words:
        connection.send(words.encode())
    leave()


def uploading(address: str, port: str, size: str, number: str = "0") -> None:
    """Hand so many bytes to the kernel, and be gone."""
    connection = _connected(address, port)
    connection.setblocking(True)
    connection.sendall(bytes(int(size)))
    leave(int(number))


def offering(address: str, port: str) -> None:
    """Hand the kernel what it takes in half a second, for a server that does not read."""
    connection = _connected(address, port)
    connection.settimeout(0.5)
    try:
        connection.sendall(bytes(1 << 26))
    except TimeoutError:
        leave()


def half_read(address: str, port: str) -> None:
    """Ask for much, read a little, and be gone with the rest unread."""
    connection = _connected(address, port)
    connection.sendall(b"10000000\n")
    connection.recv(1000)
    time.sleep(0.2)
    leave()


def last(address: str, port: str) -> None:
    """Read the server's end, and speak after it, once there is a line on stdin."""
    connection = _connected(address, port)
    connection.recv(1)
    os.write(1, b"ended\n")
    sys.stdin.readline()
    connection.sendall(b"last words")
    leave()


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
