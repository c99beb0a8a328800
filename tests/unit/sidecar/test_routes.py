"""The route of a user's connection is asked of this kernel, and its answers are read."""

import errno
import os
import socket
import struct

import pytest

from relay.sidecar import routes


def asked(address: str, uid: int) -> bool:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.send(routes.request(address, uid))
        return routes.is_local(sock.recv(4096))


def test_this_kernel_answers_of_any_user() -> None:
    assert asked("127.0.0.1", os.getuid())
    assert asked("127.0.0.1", os.getuid() + 1)
    assert not asked("192.0.2.1", os.getuid())  # by a route, or for want of one


def error(number: int) -> bytes:
    return struct.pack("=IHHIIi16x", 36, 2, 0, 0, 0, -number)


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES])
def test_no_route_is_not_local(number: int) -> None:
    assert not routes.is_local(error(number))


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        (b"", errno.EBADMSG),
        (bytes(10), errno.EBADMSG),
        (error(errno.EPERM), errno.EPERM),
        (struct.pack("=IHHII", 36, 3, 0, 0, 0) + bytes(20), errno.EBADMSG),
    ],
)
def test_what_says_nothing_is_an_error(answer: bytes, number: int) -> None:
    with pytest.raises(OSError) as caught:
        routes.is_local(answer)
    assert caught.value.errno == number
