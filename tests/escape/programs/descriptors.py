"""Ways by descriptors that the caller passes on."""

import array
import os
import socket
import struct
from typing import Any

from .kernel import CLONE_NEWNET, CLONE_NEWUSER, syscall
from .met import attempt
from .spaces import dial_host, say


def write(facts: Any) -> None:
    """Write to a descriptor."""
    os.write(facts.fd, facts.token.encode())


def aim_again(facts: Any) -> None:
    """Aim a connected socket anew, connect(2) with AF_UNSPEC, and send."""
    with socket.socket(fileno=os.dup(facts.fd)) as inherited:
        with attempt():
            inherited.send(facts.token.encode())
        unspecified = struct.pack("=H", socket.AF_UNSPEC) + bytes(14)
        with attempt():
            _connect(inherited.fileno(), unspecified)
        with attempt():
            inherited.settimeout(2)
            inherited.connect(("127.0.0.1", facts.loopback_port))
            inherited.send(facts.token.encode())


def hold(facts: Any) -> None:
    """Hold a descriptor, for the host to look at."""
    os.fstat(facts.fd)


def enter(facts: Any) -> None:
    """Enter the namespace that a descriptor stands for, or those of a process."""
    for kinds in (0, CLONE_NEWNET, CLONE_NEWUSER | CLONE_NEWNET):
        with attempt():
            syscall("setns", facts.fd, kinds)
        dial_host(facts)


def receive(facts: Any) -> None:
    """Be given a socket by whoever is at the other end of a UNIX socket, and use it."""
    with socket.socket(fileno=os.dup(facts.fd)) as inherited:
        inherited.settimeout(5)
        inherited.send(b"a socket, please")
        _data, ancillary, _flags, _address = inherited.recvmsg(16, socket.CMSG_SPACE(4))
    numbers = array.array("i")
    for _level, _kind, data in ancillary:
        numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
    for number in numbers:
        os.write(number, facts.token.encode())


def below(facts: Any) -> None:
    """Reach a closed socket by a folder that was open before."""
    say(f"/proc/self/fd/{facts.fd}{facts.below}", facts.token)


def _connect(fd: int, address: bytes) -> None:
    """Connect(2) with an address of one's own making."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.connect(fd, address, len(address)):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
