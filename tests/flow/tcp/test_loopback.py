"""A refusal on loopback is recorded, and whether the host has a server there: its kernel says."""

import socket
from collections.abc import Iterable
from contextlib import closing

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6

from relay.outbound.host_loopback import HostLoopback
from relay.policy.host_ports import HostItself, HostPorts, PortRange
from relay.policy.policy import Policy
from relay.record.events import Event, LoopbackRefused
from relay.record.kinds import Kind
from relay.tcp import loopback
from relay.tcp.loopback import LoopbackRefusals
from tests.support.machine.limits import at_the_limit

HOST = "198.18.0.2"


def refusals_of(events: list[Event], open_ports: Iterable[PortRange] = ()) -> LoopbackRefusals:
    itself = HostItself(HOST, ("host.docker.internal",))
    host = HostLoopback(itself, HostPorts(open_ports), Policy(), events.append)
    return LoopbackRefusals(events.append, host)


def refusal(port: int) -> bytes:
    ends = IP(src="127.0.0.1", dst="127.0.0.1") / TCP(sport=port, dport=40000, seq=0, flags="RA")
    return bytes(ends)


def recorded(port: int, on_host: bool) -> LoopbackRefused:
    return LoopbackRefused(address="127.0.0.1", port=port, kind=Kind.REFUSED, on_host=on_host)


def test_a_server_of_the_host_is_found() -> None:
    events: list[Event] = []
    refusals = refusals_of(events)
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        refusals.note(refusal(port))
    refusals.note(refusal(port))  # it is asked of once
    assert events == [recorded(port, on_host=True)] * 2


def test_a_server_of_all_addresses_is_found() -> None:
    events: list[Event] = []
    with closing(socket.create_server(("", 0))) as server:
        refusals_of(events).note(refusal(server.getsockname()[1]))
    assert [event.on_host for event in events if isinstance(event, LoopbackRefused)] == [True]


def test_a_server_of_the_other_family_is_found() -> None:
    """An open port leads to both, whichever is dialled."""
    events: list[Event] = []
    with closing(socket.create_server(("::1", 0), family=socket.AF_INET6)) as server:
        port = server.getsockname()[1]
        refusals_of(events).note(refusal(port))
        ends = IPv6(src="::1", dst="::1") / TCP(sport=port, dport=40000, seq=0, flags="RA")
        refusals_of(events).note(bytes(ends))
    by_ipv6 = LoopbackRefused(address="::1", port=port, kind=Kind.REFUSED, on_host=True)
    assert events == [recorded(port, on_host=True), by_ipv6]
    assert by_ipv6.to == f"[::1]:{port}"


def test_where_nobody_listens() -> None:
    events: list[Event] = []
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))  # nobody else takes the port meanwhile
        port = unused.getsockname()[1]
        refusals_of(events).note(refusal(port))
    assert events == [recorded(port, on_host=False)]


def test_at_the_limit_of_descriptors_it_is_taken_to_have_none() -> None:
    events: list[Event] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        packet = refusal(server.getsockname()[1])
        with at_the_limit():
            refusals_of(events).note(packet)
    assert [event.on_host for event in events if isinstance(event, LoopbackRefused)] == [False]


def test_other_packets_say_nothing() -> None:
    events: list[Event] = []
    refusals_of(events).note(b"")
    assert events == []


def test_there_is_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "MOST", 0)
    events: list[Event] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        refusals_of(events).note(refusal(port))
    assert events == [recorded(port, on_host=False)]


def test_what_is_closed_at_the_hosts_address_is_refused_and_recorded() -> None:
    events: list[Event] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        refusals = refusals_of(events, [PortRange(1, 1)])
        assert refusals.refuses((HOST, port))
        assert refusals.refuses(("127.0.0.1", port))
    assert not refusals.refuses((HOST, 1))
    assert not refusals.refuses(("127.0.0.1", 1))
    assert not refusals.refuses(("203.0.113.1", port))
    by_name = LoopbackRefused(
        address="127.0.0.1",
        port=port,
        name="host.docker.internal",
        kind=Kind.REFUSED,
        on_host=True,
    )
    assert events == [by_name, recorded(port, on_host=True)]
