"""What stands in for socket.socket, os and their like: the same, but the injector may fail a call.

install() comes before trio is imported, which takes methods of socket.socket by then.
"""

import fcntl
import io
import os
import resource
import socket
import ssl
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tests.support.faults.injector import INJECTOR, is_relays

SOCKET_CALLS: Final = (
    *("accept", "bind", "connect", "dup", "getpeername", "getsockname", "getsockopt", "listen"),
    *("recv", "recv_into", "recvfrom", "recvmsg", "recvmsg_into", "send", "sendall", "sendmsg"),
    *("sendto", "setblocking", "setsockopt", "shutdown"),
)

OS_CALLS: Final = (
    *("kill", "memfd_create", "mkdir", "open", "pipe2", "read", "rename", "scandir"),
    *("sched_yield", "splice", "stat", "unlink", "urandom", "waitid", "waitpid", "write"),
)

OTHER_CALLS: Final[tuple[tuple[Any, tuple[str, ...]], ...]] = (
    (fcntl, ("fcntl", "flock", "ioctl")),
    (resource, ("getrlimit", "setrlimit")),
    (io, ("open",)),
    (ssl.SSLContext, ("load_cert_chain", "load_verify_locations")),
)

WAITS: Final = ("wait_readable", "wait_writable")
"""Of trio.lowlevel: epoll_ctl(2) may fail."""

_Call = Callable[..., Any]

asleep = 0.0
"""Seconds that the machine has slept, as CLOCK_BOOTTIME has it."""


class FaultySocket(socket.socket):
    """A socket whose calls may fail, if it is the relay's."""

    def __init__(
        self,
        family: int = -1,
        type: int = -1,  # noqa: A002 - socket.socket's own
        proto: int = -1,
        fileno: int | None = None,
    ) -> None:
        if fileno is None and (fault := INJECTOR.fault("socket")) is not None:
            raise fault
        super().__init__(family, type, proto, fileno)
        self.is_owned = is_relays()
        self.is_spared = INJECTOR.spares
        self.is_silent = False
        """Whether its peer seems to be gone: TCP_INFO says so at once, instead of in 5 s."""

    def _fault(self, call: str) -> OSError | None:
        if not self.is_owned:
            return None
        return INJECTOR.fault(call, is_spared=self.is_spared, is_owned=True)

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept; what a listener of the relay's accepts is the relay's."""
        if (fault := self._fault("accept")) is not None:
            raise fault
        accepted, address = super().accept()
        if isinstance(accepted, FaultySocket):
            accepted.is_owned |= self.is_owned
        return accepted, address

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        """Read an option."""
        if (fault := self._fault("getsockopt")) is not None:
            raise fault
        value: Any = super().getsockopt(level, option, *(size,) * bool(size))
        if self.is_silent and (level, option) == (socket.IPPROTO_TCP, socket.TCP_INFO):
            return _silent(value)
        return value

    def connect_ex(self, address: Any) -> int:
        """Connect; its way to fail is what it returns."""
        fault = self._fault("connect_ex")
        return super().connect_ex(address) if fault is None else fault.errno or 0

    def close(self) -> None:
        """Close; a close that fails has closed, close(2)."""
        is_open = self.fileno() != -1
        super().close()
        if is_open and (fault := self._fault("close")) is not None:
            raise fault


def _silent(info: bytes) -> bytes:
    """Put 5 retransmissions and 60 s since the last ACK into struct tcp_info, linux/tcp.h."""
    if len(info) < 60:
        return info
    return info[:2] + b"\x05" + info[3:56] + (60_000).to_bytes(4, sys.byteorder) + info[60:]


def install() -> None:
    """Put them in place, for good."""
    for name in SOCKET_CALLS:
        if name not in vars(FaultySocket):
            setattr(FaultySocket, name, _of_socket(name, getattr(socket.socket, name)))
    socket.socket = FaultySocket  # type: ignore[misc]
    for name in OS_CALLS:
        setattr(os, name, _may_fail(f"os.{name}", getattr(os, name)))
    os.close = _close(os.close)
    for owner, names in OTHER_CALLS:
        for name in names:
            setattr(owner, name, _may_fail(f"{owner.__name__}.{name}", getattr(owner, name)))
    time.clock_gettime = _clock(time.clock_gettime)
    import trio

    for name in WAITS:
        setattr(trio.lowlevel, name, _wait(name, getattr(trio.lowlevel, name)))


def _of_socket(name: str, original: _Call) -> _Call:
    def call(self: FaultySocket, *args: Any, **kwargs: Any) -> Any:
        if self.is_owned:
            fault = INJECTOR.fault(name, is_spared=self.is_spared, is_owned=True)
            if fault is not None:
                raise fault
        return original(self, *args, **kwargs)

    call.__name__ = name
    return call


def _may_fail(name: str, original: _Call) -> _Call:
    def call(*args: Any, **kwargs: Any) -> Any:
        if (fault := INJECTOR.fault(name)) is not None:
            raise fault
        return original(*args, **kwargs)

    return call


def _close(original: _Call) -> _Call:
    def close(fd: int) -> None:
        original(fd)
        if (fault := INJECTOR.fault("os.close")) is not None:
            raise fault

    return close


def _clock(original: _Call) -> Callable[[int], float]:
    def clock_gettime(clock: int) -> float:
        if (fault := INJECTOR.fault("time.clock_gettime")) is not None:
            raise fault
        now: float = original(clock)
        return now + asleep if clock == time.CLOCK_BOOTTIME else now

    return clock_gettime


def _wait(name: str, original: _Call) -> _Call:
    def wait(sock: Any) -> Awaitable[None]:
        """Fail where it is called: whoever returns the awaitable has made the call."""
        is_spared = isinstance(sock, FaultySocket) and sock.is_spared
        if (fault := INJECTOR.fault(name, is_spared=is_spared)) is not None:
            raise fault
        waiting: Awaitable[None] = original(sock)
        return waiting

    return wait
