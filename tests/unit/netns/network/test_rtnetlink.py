"""A change of the network that the kernel has not confirmed has not been made."""

import errno
import socket
import struct
from collections.abc import Callable
from functools import partial

import pytest

from netns.network import rtnetlink

CHANGES: list[Callable[[socket.socket], None]] = [
    partial(rtnetlink.bring_up, index=1),
    partial(rtnetlink.add_veth, name="one", peer="other"),
    partial(rtnetlink.remove, index=2),
    partial(rtnetlink.add_address, index=1, address="192.0.2.1", length=24, is_routed=False),
    partial(rtnetlink.add_local_route, index=1, source="192.0.2.1"),
    partial(rtnetlink.add_default_route, index=1, gateway="192.0.2.254"),
]


class Kernel(socket.socket):
    """A socket to something that answers nothing, or with an error's number."""

    def __init__(self, *errors: int) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.asked: list[bytes] = []
        self.answers = [struct.pack("=IHHIIi16x", 36, 2, 0, 0, 0, -error) for error in errors]

    def send(self, data: bytes) -> int:  # type: ignore[override]
        self.asked.append(data)
        return len(data)

    def recv(self, _size: int, _flags: int = 0) -> bytes:
        if not self.asked or not self.answers:
            raise BlockingIOError
        return self.answers.pop()


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_confirmed_is_made(change: Callable[[socket.socket], None]) -> None:
    with Kernel(0) as kernel:
        change(kernel)
        (message,) = kernel.asked
        length, _kind, flags = struct.unpack_from("=IHH", message)
        assert length == len(message)
        assert flags & 5 == 5  # NLM_F_REQUEST and NLM_F_ACK


@pytest.mark.parametrize("change", CHANGES)
def test_without_the_kernels_word_nothing_is_made(change: Callable[[socket.socket], None]) -> None:
    """A filter of system calls may feign success."""
    with Kernel() as kernel, pytest.raises(OSError, match="not confirmed"):
        change(kernel)


@pytest.mark.parametrize("change", CHANGES)
def test_an_error_is_raised(change: Callable[[socket.socket], None]) -> None:
    with Kernel(errno.EPERM) as kernel, pytest.raises(PermissionError):
        change(kernel)
