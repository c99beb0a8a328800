"""Descriptors that the caller passes on, each made on the host."""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from tests.escape.arena import (
    ALLOWED,
    CLOSED_SOCKETS,
    LOOPBACK_PORT,
)
from tests.escape.attempts import Attempt
from tests.escape.row import Stage

from .common import LackingError

_INHERITED: Final = 20


def inheriting(make: Callable[[Attempt], int], at: int = _INHERITED) -> Stage:
    """Return a stage in which a descriptor is passed on; `make` makes it, in the host."""

    @asynccontextmanager
    async def stage(attempt: Attempt) -> AsyncIterator[None]:
        try:
            made = attempt.arena.internet.client.call(lambda: make(attempt))
        except OSError as error:
            raise LackingError(str(error)) from error
        try:
            if at <= 2:
                attempt.popen["stdin"] = made
            else:
                # Popen passes a descriptor on by the number that it has.
                os.dup2(made, at_own := fcntl.fcntl(made, fcntl.F_DUPFD, 50), inheritable=True)
                attempt.popen["pass_fds"] = (at_own,)
            attempt.facts["fd"] = at if at <= 2 else at_own
            yield
        finally:
            os.close(made)
            if at > 2:
                os.close(at_own)

    return stage


def tcp(attempt: Attempt) -> int:
    """Make a connection to the host's loopback."""
    return socket.create_connection(("127.0.0.1", LOOPBACK_PORT), 5).detach()


def udp(attempt: Attempt) -> int:
    """Make a datagram socket that is connected to a server."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((ALLOWED, 443))
    return sock.detach()


def tun(attempt: Attempt) -> int:
    """Make a tun device."""
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", b"", 0x1001))  # TUNSETIFF: IFF_TUN
    return fd


def network(attempt: Attempt) -> int:
    """Open the host's network namespace."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def users(attempt: Attempt) -> int:
    """Open the host's user namespace."""
    return os.open("/proc/self/ns/user", os.O_RDONLY)


def process(attempt: Attempt) -> int:
    """Open the process of the host that is there."""
    return os.pidfd_open(attempt.kept["victim"].pid)


def uring(attempt: Attempt) -> int:
    """Make an io_uring."""
    return _syscall(425, 4, ctypes.create_string_buffer(120))


_made_before: Final[list[int]] = []


def make_bpf() -> None:
    """Make a map of BPF, an array of one number, as the machine's root: before any namespace."""
    attributes = struct.pack("=4I", 2, 4, 4, 1).ljust(128, b"\0")
    number = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
    with contextlib.suppress(OSError):
        _made_before.append(_syscall(number, 0, attributes, 128))


def bpf(attempt: Attempt) -> int:
    """Return a copy of the map of BPF."""
    if not _made_before:
        raise OSError("nobody but the machine's root may have one")
    return os.dup(_made_before[0])


def folder(attempt: Attempt) -> int:
    """Open the folder of the host in which sockets of services are."""
    return os.open("/run", os.O_RDONLY | os.O_DIRECTORY)


def _syscall(number: int, *arguments: Any) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(number, *arguments)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def accomplice(at: int) -> Stage:
    """Return a stage with a UNIX socket whose other end gives a connection to whoever asks."""

    @asynccontextmanager
    async def stage(attempt: Attempt) -> AsyncIterator[None]:
        ours, theirs = socket.socketpair()
        given = attempt.arena.internet.client.call(lambda: tcp(attempt))

        async def give() -> None:
            with trio.socket.from_stdlib_socket(ours) as end:
                if await end.recv(100):
                    socket.send_fds(ours, [b"here"], [given])

        passed_on = inheriting(lambda _attempt: theirs.detach(), at)(attempt)
        async with passed_on, trio.open_nursery() as nursery:
            nursery.start_soon(give)
            yield
            nursery.cancel_scope.cancel()
        os.close(given)

    return stage


@asynccontextmanager
async def by_folder(attempt: Attempt) -> AsyncIterator[None]:
    """What is below the folder that is passed on."""
    attempt.facts["below"] = CLOSED_SOCKETS[0].removeprefix("/run")
    yield
