"""Small programs that pass descriptors on to a command, or tell what they were given.

`inherits("name", "argument")` gives the command line that runs the function of that name here.
"""

import ctypes
import os
import select
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

_MODULE: Final = "tests.support.command.inherits"  # also where this is the main program
_FIRST: Final = 3  # SD_LISTEN_FDS_START
_PATIENCE: Final = 20
_TOLD: Final = "re_aimed"


def inherits(name: str, *arguments: str) -> list[str]:
    """Return the command line of a program of this module."""
    return [sys.executable, "-I", "-m", _MODULE, name, *arguments]


def listed() -> None:
    """Tell which descriptors above the standard ones are there, and what they are."""
    names = [path.name for path in Path("/proc/self/fd").iterdir()]
    for name in sorted(names, key=int)[_FIRST:]:
        try:
            mode = os.fstat(int(name)).st_mode
        except OSError:  # the listing's own
            continue
        os.write(1, f"{name} {'socket' if stat.S_ISSOCK(mode) else 'file'}\n".encode())


def activated() -> None:
    """Answer one connection to the socket that was passed on as by systemd, sd_listen_fds(3)."""
    assert os.environ["LISTEN_PID"] == str(os.getpid())
    assert os.environ["LISTEN_FDS"] == "1"
    with socket.socket(fileno=_FIRST) as listener, listener.accept()[0] as connection:
        connection.sendall(b"served")


def activate(*command: str) -> None:
    """Listen on a UNIX socket, become the command with it, and tell what a child is answered."""
    path = f"{Path.cwd()}/listener"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    if os.fork() == 0:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(_PATIENCE)
            sock.connect(path)
            os.write(1, sock.recv(100))
        os._exit(0)
    os.dup2(listener.fileno(), _FIRST)
    os.set_inheritable(_FIRST, True)
    environment = os.environ | {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    os.execvpe(command[0], command, environment)


def with_network(address: str, port: str, *command: str) -> None:
    """Become the command with descriptors of this network, of each kind that can be had."""
    sockets = [
        socket.create_connection((address, int(port))),
        socket.create_server(("127.0.0.1", 0)),
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
    ]
    for number, sock in enumerate(sockets):
        os.dup2(sock.fileno(), 20 + number)
    os.dup2(os.open("/proc/self/ns/net", os.O_RDONLY), 30)
    for pair in socket.socketpair():
        os.dup2(pair.fileno(), 40)
    os.execvp(command[0], command)


def _made(kind: str, address: str, port: str) -> int:
    """Return a descriptor of this kind, of the network that the caller is in."""
    makers: dict[str, Callable[[], socket.socket]] = {
        "connected": lambda: socket.create_connection((address, int(port))),
        "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0),
        "packet": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0),
        "unix": lambda: socket.socketpair()[0],
    }
    if kind in makers:
        return makers[kind]().detach()
    return os.open(f"/proc/self/ns/{kind}", os.O_RDONLY)


def as_stream(number: str, kind: str, address: str, port: str, *command: str) -> None:
    """Become the command with a descriptor of some kind as its stdin, stdout or stderr."""
    fd = _made(kind, address, port)
    os.dup2(fd, int(number))
    os.execvp(command[0], command)


def re_aims(number: str, address: str, port: str) -> None:
    """Take a socket of the host's network to an address of its own choice, and talk there.

    connect(2) to AF_UNSPEC takes a socket's peer away, and the next connect() chooses another.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.connect(int(number), bytes(16), 16)
    with socket.socket(fileno=os.dup(int(number))) as sock:
        sock.settimeout(_PATIENCE)
        sock.connect((address, int(port)))
        sock.send(b"past the relay")
        told = os.open(_TOLD, os.O_WRONLY | os.O_CREAT)
        os.write(told, sock.recv(100))


def until_unheard(*command: str) -> None:
    """Run the command with a pipe for its stdin; tell whether it may be written to for long."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write)
        os.dup2(read, 0)
        os.execvp(command[0], command)
    os.close(read)
    poll = select.poll()
    poll.register(write, 0)
    told = poll.poll(_PATIENCE * 1000)
    os.write(1, b"nobody reads\n" if told else b"somebody reads\n")
    os.kill(pid, 15)
    os.waitpid(pid, 0)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
