"""What listens on the host for a port inside: where it was asked for, or near."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator

import pytest

from netns.errors import KeeplineError
from relay.config.publishing import LOOPBACK, Publication
from relay.publishing.on_host import OnHost, open_asked, open_near


@contextlib.contextmanager
def listening(address: str, port: int = 0) -> Iterator[int]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        sock.listen()
        yield sock.getsockname()[1]


def places(on_host: OnHost) -> list[tuple[str, int]]:
    with contextlib.closing(on_host):
        return [sock.getsockname()[:2] for sock in on_host.sockets]


def test_both_families_at_one_port() -> None:
    on_host = open_asked(Publication(80, 0))
    assert on_host.port
    assert places(on_host) == [("127.0.0.1", on_host.port), ("::1", on_host.port)]


def test_the_address_that_was_asked_for() -> None:
    on_host = open_asked(Publication(80, 0, ("127.0.0.3",)))
    assert places(on_host) == [("127.0.0.3", on_host.port)]


def test_a_port_of_another_program_is_not_taken() -> None:
    with listening("::1") as port:
        with pytest.raises(KeeplineError, match=f"port {port} of 127.0.0.1 and ::1") as caught:
            open_asked(Publication(80, port))
        assert "--publish" in caught.value.next_step
        on_host = open_near(port)
        assert on_host.port != port
        assert on_host.why == os.strerror(errno.EADDRINUSE)
        places(on_host)
        again = open_near(port, on_host)
        assert (again.port, again.why) == (on_host.port, on_host.why)
        places(again)
    with listening("127.0.0.1", on_host.port):
        third = open_near(port, on_host)
        assert (third.port, third.why) == (port, "")
        places(third)


def test_an_address_that_is_not_there() -> None:
    with pytest.raises(KeeplineError) as caught:
        open_asked(Publication(80, 8080, ("192.0.2.1",)))
    assert "ip address show" in caught.value.next_step


def test_a_host_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that no interface has stands for the one of IPv6 that is lacking."""
    on_host = open_asked(Publication(80, 0, (LOOPBACK[0], "2001:db8::1")))
    assert [address for address, _port in places(on_host)] == ["127.0.0.1"]
