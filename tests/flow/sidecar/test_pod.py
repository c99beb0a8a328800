"""The sockets of a pod's relay: one relay has its ports, by IPv6 too if the kernel has that."""

import errno
import socket
from typing import cast

import pytest

from netns.errors import KeeplineError
from relay.inbound.offer import Offer
from relay.outbound.host_loopback import HostLoopback
from relay.record.events import Event
from relay.sidecar import pod
from relay.sidecar.rules_watch import RulesWatch


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Put ports that are free here in place of a pod's."""
    servers = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    first, second = (server.getsockname()[1] for server in servers)
    for server in servers:
        server.close()
    monkeypatch.setattr(pod, "TCP_PORT", first)
    monkeypatch.setattr(pod, "DNS_PORT", second)
    return first, second


def test_connections_and_questions_come_to_loopback(free: tuple[int, int]) -> None:
    sockets = pod.open_sockets()
    assert sockets.tcp.getsockname() == ("127.0.0.1", free[0])
    assert [udp.getsockname()[:2] for udp, _tcp in sockets.dns] == [
        ("127.0.0.1", free[1]),
        ("::1", free[1]),
    ]
    assert all(tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for _udp, tcp in sockets.dns)
    sockets.close()
    for address in free:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", address))


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_that_is_taken_is_named(free: tuple[int, int], kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", free[1]))
        if kind is socket.SOCK_STREAM:
            other.listen()
        with pytest.raises(KeeplineError, match=f"port {free[1]} of 127.0.0.1 is taken"):
            pod.open_sockets()
    pod.open_sockets().close()  # nothing was left open


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_a_kernel_without_ipv6_has_ipv4(
    free: tuple[int, int], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = socket.socket

    def without(family: int, *arguments: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(number, "no IPv6")
        return made(family, *arguments)

    monkeypatch.setattr(socket, "socket", without)
    sockets = pod.open_sockets()
    assert len(sockets.dns) == 1
    sockets.close()
    with pod.listen_everywhere(0) as everywhere:
        assert everywhere.getsockname()[0] == "0.0.0.0"


def test_another_error_of_ipv6_is_one(
    free: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = socket.socket

    def without(family: int, *arguments: int) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.ENOMEM, "no memory")
        return made(family, *arguments)

    monkeypatch.setattr(socket, "socket", without)
    with pytest.raises(OSError, match="no memory"):
        pod.open_sockets()


def test_an_address_that_cannot_be_had_is_an_error() -> None:
    with pytest.raises(OSError) as caught:
        pod.listen("192.0.2.1", 0)
    assert caught.value.errno == errno.EADDRNOTAVAIL


async def test_by_a_base_url_a_connection_has_its_own_destination(free: tuple[int, int]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        door = server.getsockname()[1]
    sockets = pod.open_sockets(door)
    events: list[Event] = []
    ways = pod.ways_in(sockets, RulesWatch("198.18.0.1", events.append))
    _redirected, by_door = ways.make(None, events.append, cast("HostLoopback", None))
    offered: list[Offer] = []
    with socket.create_connection(("127.0.0.1", door)):
        by_door.take_waiting(offered.append)
        assert [offer.destination for offer in offered] == [("127.0.0.1", door)]
        offered[0].close()
    sockets.close()
    assert events == []


def test_probes_may_come_by_ipv4_and_ipv6() -> None:
    with pod.listen_everywhere(0) as listener:
        port = listener.getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, port)).close()
