"""What pure modules parse is what this kernel writes."""

import socket

from relay.inbound import inet_diag
from relay.inbound.socket_table import SocketTable
from relay.sockets import CLOSED_BY_ITS_SIDE, TCP_ESTABLISHED
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


def test_a_sockets_state_is_asked_by_its_ends() -> None:
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as diag,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        table = SocketTable(diag)
        closing = socket.create_connection(listener.getsockname())
        peer, _address = listener.accept()
        with closing, peer:
            ends = closing.getsockname(), closing.getpeername()
            assert table.state(*ends) == TCP_ESTABLISHED
            closing.shutdown(socket.SHUT_WR)
            assert table.state(*ends) in CLOSED_BY_ITS_SIDE
        assert table.state(ends[0], ("127.0.0.1", 1)) is None


def test_a_dual_stack_socket_is_found_as_the_ipv4_socket_that_it_is() -> None:
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as diag,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_INET6) as sock,
    ):
        sock.connect((f"::ffff:{listener.getsockname()[0]}", listener.getsockname()[1]))
        local = "127.0.0.1", sock.getsockname()[1]
        assert SocketTable(diag).state(local, listener.getsockname()) == TCP_ESTABLISHED


def test_an_answer_that_was_never_read_is_none_to_the_next_question() -> None:
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as diag,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as sock,
    ):
        diag.send(inet_diag.request(("127.0.0.1", 1), ("127.0.0.1", 2), 0xFFFFFFFF))
        ends = sock.getsockname(), sock.getpeername()
        assert SocketTable(diag).state(*ends) == TCP_ESTABLISHED
