"""The host's loopback: what is open is dialled, by the family that was asked first."""

import errno
import socket
from contextlib import closing
from dataclasses import dataclass, field

import pytest

from relay import sockets
from relay.addresses import Destination, Endpoint
from relay.outbound import icmp
from relay.outbound.door import DeniedError
from relay.outbound.host_loopback import HostLoopback
from relay.outbound.patience import NO_ANSWER, DialError
from relay.policy.host_ports import IPV6, HostItself, HostPorts, PortRange
from relay.policy.policy import Policy
from relay.record.events import Dialled, Event
from relay.record.kinds import Kind
from tests.support.machine.limits import at_the_limit

HOST = "198.18.0.2"
ITSELF = HostItself(HOST, ("host.internal", "host.docker.internal"))
PORT = 5432


@dataclass
class Host:
    """A host whose ports answer as a test says."""

    outcomes: dict[str, int] = field(default_factory=dict)
    dialled: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    ports: HostPorts = field(default_factory=lambda: HostPorts([PortRange(PORT, PORT, "a flag")]))

    async def connect(self, _sock: socket.socket, endpoint: Endpoint) -> int:
        self.dialled.append(endpoint[0])
        return self.outcomes.get(endpoint[0], 0)

    def loopback(self, *deny: str) -> HostLoopback:
        policy = Policy(deny=deny)
        return HostLoopback(ITSELF, self.ports, policy, self.events.append, self.connect)

    async def reached(self, dialled: str, *deny: str) -> str:
        """Return which address is reached for one that a program dials."""
        loopback = self.loopback(*deny)
        opened = await loopback.open(loopback.destination((dialled, PORT)), 1)
        opened.sock.close()
        return opened.reached[0]


@pytest.mark.parametrize(
    ("dialled", "order"),
    [
        ("127.0.0.1", ["127.0.0.1", "::1"]),
        ("127.0.0.5", ["127.0.0.5", "::1"]),
        ("::1", ["::1", "127.0.0.1"]),
        (HOST, ["127.0.0.1", "::1"]),
    ],
)
async def test_the_family_that_was_dialled_comes_first(dialled: str, order: list[str]) -> None:
    host = Host()
    assert await host.reached(dialled) == order[0]
    host.outcomes[order[0]] = errno.ECONNREFUSED
    assert await host.reached(dialled) == order[1]
    assert host.dialled == [order[0], *order]
    (dialled_first, _) = host.events
    assert isinstance(dialled_first, Dialled)
    assert dialled_first.address == order[0]
    host.outcomes[order[1]] = errno.ENETUNREACH
    with pytest.raises(DialError, match="Connection refused") as refused:
        await host.reached(dialled)
    assert (refused.value.code, refused.value.kind) == (icmp.REFUSED, Kind.REFUSED)


async def test_a_socket_that_has_met_itself_has_reached_nobody() -> None:
    """Its own port is one of the kernel's choice, which may be the one that is dialled: RFC 9293
    section 3.5, simultaneous open."""

    async def connect(sock: socket.socket, endpoint: Endpoint) -> int:
        sock.bind(endpoint)
        return await sockets.connect(sock, endpoint)

    with closing(socket.create_server(("127.0.0.1", 0))) as unused:
        port = unused.getsockname()[1]
    ports = HostPorts([PortRange(port, port, "a flag")])
    loopback = HostLoopback(ITSELF, ports, Policy(), list[Event]().append, connect)
    with pytest.raises(DialError) as refused:
        await loopback.open(Destination("127.0.0.1", port), 1)
    assert refused.value.number == errno.ECONNREFUSED


async def test_how_a_dial_fails() -> None:
    host = Host({"127.0.0.1": errno.ETIMEDOUT, "::1": errno.ETIMEDOUT})
    with pytest.raises(DialError) as silent:
        await host.reached("127.0.0.1")
    assert silent.value.code == NO_ANSWER
    with at_the_limit(), pytest.raises(DialError) as lacking:
        await host.reached("127.0.0.1")
    assert (lacking.value.number, lacking.value.code) == (errno.EMFILE, None)


async def test_a_dial_that_is_cancelled_leaves_no_socket() -> None:
    sockets: list[socket.socket] = []

    async def connect(sock: socket.socket, _endpoint: Endpoint) -> int:
        sockets.append(sock)
        raise KeyboardInterrupt

    host = Host()
    loopback = HostLoopback(ITSELF, host.ports, Policy(), host.events.append, connect)
    with pytest.raises(KeyboardInterrupt):
        await loopback.open(Destination("127.0.0.1", PORT), 1)
    assert sockets[0].fileno() == -1


@pytest.mark.parametrize(
    ("dialled", "denied", "rule"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "localhost", "localhost"),
        ("127.0.0.1", f"localhost:{PORT}", f"localhost:{PORT}"),
        ("127.0.0.5", "127.0.0.0/8", "127.0.0.0/8"),
        ("127.0.0.5", "127.0.0.5", "127.0.0.5"),
        ("::1", "127.0.0.1", "127.0.0.1"),
        ("::1", "localhost", "localhost"),
        (HOST, "127.0.0.1", "127.0.0.1"),
        (HOST, "*.internal", "*.internal"),
        (HOST, "host.internal", "host.internal"),
        ("127.0.0.1", "*", "*"),
    ],
)
async def test_a_deny_rule_closes_a_port_that_is_open(dialled: str, denied: str, rule: str) -> None:
    host = Host()
    with pytest.raises(DeniedError) as error:
        await host.reached(dialled, denied)
    assert (error.value.denied.rule, error.value.address) == (rule, "")
    assert not host.dialled


async def test_what_is_not_open_is_never_dialled() -> None:
    host = Host(ports=HostPorts())
    with pytest.raises(DeniedError, match=f"no --host-port opens port {PORT} of the host"):
        await host.reached("127.0.0.1")
    assert not host.dialled
    host.ports.open(PORT, "a lock file")
    assert await host.reached("127.0.0.1") == "127.0.0.1"
    host.ports.withhold(PORT)  # as where keepline itself listens
    with pytest.raises(DeniedError):
        await host.reached("127.0.0.1")


def test_what_is_recorded_of_it() -> None:
    loopback = Host().loopback()
    assert loopback.destination(("::1", 1)) == Destination(IPV6, 1)
    assert loopback.destination(("127.0.0.5", 1)) == Destination("127.0.0.5", 1)
    assert loopback.destination((HOST, 1)) == Destination(ITSELF.names[0], 1)
    covered = ("127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", HOST)
    assert all(map(loopback.covers, covered))
    assert not any(map(loopback.covers, ("198.18.0.1", "203.0.113.1")))
