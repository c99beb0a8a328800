"""A connect() that the kernel has failed is never taken for one that is through."""

import errno
import socket

import pytest
import trio

from relay.sockets import TCP_CLOSE, TCP_SYN_SENT, connect, queued_error
from tests.support.pace import patience


class Early(socket.socket):
    """Asked for the first time, in the moment between the queued error and the errno."""

    seen = TCP_SYN_SENT
    looks = 0

    def getsockopt(self, level: int, option: int, *size: int) -> int | bytes:  # type: ignore[override]
        if (level, option) != (socket.SOL_SOCKET, socket.SO_ERROR):
            return bytes([self.seen])
        self.looks += 1
        return errno.EHOSTUNREACH if self.looks > 1 else 0


@pytest.mark.parametrize("seen", [TCP_SYN_SENT, TCP_CLOSE])
async def test_no_errno_yet_is_no_success(seen: int) -> None:
    sock = Early(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.seen = seen
    with sock, socket.create_server(("127.0.0.1", 0)) as listener, trio.fail_after(patience(5)):
        assert await connect(sock, listener.getsockname()) == errno.EHOSTUNREACH


def test_an_empty_error_queue() -> None:
    with socket.socket() as sock:
        assert queued_error(sock) == b""
