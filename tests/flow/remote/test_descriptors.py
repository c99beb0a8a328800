"""What a container hands over is looked at: only its own sockets of the right kinds are taken."""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from netns.errors import KeeplineError
from netns.network import netlink
from netns.process.socket_maker import DIAG, INET
from relay.remote import descriptors
from relay.remote.descriptors import HandoverError, taken
from relay.remote.maker import RemoteMaker
from relay.remote.messages import Handover

HANDOVER = Handover(intercept="redirect", listeners=1, holds=False)
HOST = 1
"""Of another network than that of the tests."""


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def udp() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def connected_udp() -> socket.socket:
    sock = udp()
    sock.connect(("127.0.0.1", 9))
    return sock


def listener(family: int = socket.AF_INET) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
    sock.listen()
    return sock


def tcp() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def diag() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG)


def route() -> socket.socket:
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)


def unix_listener() -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(b"")  # of the abstract namespace
    sock.listen()
    return sock


RIGHT: tuple[Callable[[], socket.socket], ...] = (udp, listener, diag, listener)


def handed_over(*make: Callable[[], socket.socket]) -> list[int]:
    return [each().detach() for each in make]


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def test_the_right_sockets_are_taken(opened: ExitStack) -> None:
    sockets = taken(handed_over(*RIGHT), HANDOVER, HOST)
    for sock in sockets:
        opened.enter_context(sock)
    assert [sock.type for sock in sockets][:3] == [2, 1, 3]
    assert not any(sock.getblocking() for sock in sockets)


WRONG = {
    "a listener in the place of the UDP socket": (0, listener),
    "a UDP socket that is connected": (0, connected_udp),
    "a TCP socket that does not listen": (1, tcp),
    "a UDP socket in the place of a listener": (3, udp),
    "a listener of IPv6": (3, lambda: listener(socket.AF_INET6)),
    "a UNIX listener": (3, unix_listener),
    "netlink of another protocol": (2, route),
}


@pytest.mark.parametrize("name", WRONG)
def test_another_socket_is_not_taken_and_none_stays_open(name: str) -> None:
    place, wrong = WRONG[name]
    make = [*RIGHT]
    make[place] = wrong
    fds = handed_over(*make)
    with pytest.raises(HandoverError):
        taken(fds, HANDOVER, HOST)
    assert not any(map(is_open, fds))


@pytest.mark.parametrize("count", [0, 3, 5])
def test_more_or_fewer_are_not_taken(count: int) -> None:
    fds = handed_over(*(*RIGHT, listener)[:count])
    with pytest.raises(HandoverError, match=f"{count} descriptors, not 4"):
        taken(fds, HANDOVER, HOST)
    assert not any(map(is_open, fds))


def test_what_is_no_socket_is_not_taken() -> None:
    for number in range(len(RIGHT)):
        fds = handed_over(*RIGHT)
        os.close(fds[number])
        fds[number] = os.open("/dev/null", os.O_RDWR)
        with pytest.raises(HandoverError, match="is no "):
            taken(fds, HANDOVER, HOST)
        assert not any(map(is_open, fds))


def test_a_socket_of_the_hosts_network_is_not_taken() -> None:
    fds = handed_over(*RIGHT)
    with pytest.raises(HandoverError, match="of the host's network"):
        taken(fds, HANDOVER, descriptors.own_cookie())
    assert not any(map(is_open, fds))


def test_a_channel_to_somebody_with_a_path_is_not_taken(opened: ExitStack) -> None:
    server = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    server.bind(b"")
    server.listen()
    channel = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    channel.connect(server.getsockname())
    with pytest.raises(HandoverError, match="connected to somebody"):
        descriptors.require(channel, descriptors.CHANNEL)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    opened.enter_context(theirs)
    descriptors.require(opened.enter_context(ours), descriptors.CHANNEL)


def test_what_makes_sockets_inside_is_not_believed(opened: ExitStack) -> None:
    maker = RemoteMaker(None, descriptors.own_cookie())
    maker.check(INET, opened.enter_context(tcp()))
    maker.check(DIAG, opened.enter_context(diag()))
    for kind, wrong in ((INET, udp), (INET, listener), (DIAG, route), (DIAG, tcp)):
        with pytest.raises(OSError, match="another socket"):
            maker.check(kind, opened.enter_context(wrong()))
    with pytest.raises(OSError, match="of another network"):
        RemoteMaker(None, HOST).check(INET, opened.enter_context(tcp()))


def test_a_kernel_that_does_not_number_networks_serves_no_container(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(_sock: socket.socket) -> int:
        raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))

    monkeypatch.setattr(descriptors, "cookie", unknown)
    with pytest.raises(KeeplineError, match="does not tell") as caught:
        descriptors.own_cookie()
    assert "5.14" in caught.value.next_step
