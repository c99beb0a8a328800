"""What pure modules parse is what this kernel writes."""

import socket
from pathlib import Path

from relay.inbound.tcp_table import closed_by_their_side
from relay.tcp.watch.diagnosis import TcpInfo


def test_tcp_info_is_the_kernels() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as sock,
    ):
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TcpInfo.SIZE)
    read = TcpInfo.parse(raw)
    assert (read.retransmits, read.probes, read.unacked) == (0, 0, 0)
    assert 0 <= read.silence < 5


def test_the_kernels_own_table_is_read() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closing = socket.create_connection(listener.getsockname())
        peer, _address = listener.accept()
        with closing, peer:
            ends = (closing.getsockname(), closing.getpeername())
            closing.shutdown(socket.SHUT_WR)
            assert ends in closed_by_their_side(Path("/proc/net/tcp").read_text())
