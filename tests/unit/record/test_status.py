"""A session's open connections are what was opened and has not ended, as its events tell."""

import json

from msgspec import structs

from relay.record import status
from relay.record.events import (
    AnyEvent,
    Cleared,
    ConnectionClosed,
    ConnectionDenied,
    ConnectionOpened,
    ConnectionServed,
    DialFailed,
    DialHeld,
    Dialled,
    Fault,
    HostPortClosed,
    HostPortOpened,
    LogFull,
    NameAssigned,
    Published,
    PublishEnded,
    Replaying,
    SessionStarted,
    Suspected,
    UpstreamClosed,
    UpstreamOpened,
    UpstreamReady,
)
from relay.record.kinds import Kind
from relay.record.opened import OpenedPorts

STARTED = SessionStarted(
    session="s1",
    version="0.1.0",
    program="curl",
    pid=77,
    uid=1000,
    intercept="tproxy",
    dns="synthetic",
)


def opened(number: int, *, name: str | None = None, at: float = 0.0) -> ConnectionOpened:
    return ConnectionOpened(connection=number, address="192.0.2.1", port=80, name=name, at=at)


def dialled(number: int, address: str = "192.0.2.1") -> Dialled:
    return Dialled(connection=number, address=address, seconds=0.1)


def closed(number: int) -> ConnectionClosed:
    return ConnectionClosed(
        connection=number, by="program", how="fin", sent=0, received=0, seconds=1, idle=1
    )


def test_a_session_is_what_its_start_says() -> None:
    state = status.state_of("s1", [STARTED])
    assert (state.session, state.program, state.pid, state.connections) == ("s1", "curl", 77, {})


def test_the_proxies_are_named() -> None:
    told = "proxy http://a:1 (https_proxy)"
    state = status.state_of("s1", [structs.replace(STARTED, proxy=told)])
    assert list(status.lines([state])) == ["s1  curl (pid 77)", f"  {told}"]
    assert json.loads(status.as_json([state]))[0]["proxy"] == told


def test_the_gateway_has_connections_of_its_own() -> None:
    opened_ = UpstreamOpened(connection=2, host="a.example", port=443)
    state = status.state_of("s1", [STARTED, opened_, dialled(2)])
    assert [(o.to, o.reached) for o in state.connections.values()] == [
        ("a.example:443 (gateway)", "192.0.2.1")
    ]
    closed_ = UpstreamClosed(connection=2, cause="closed")
    assert status.state_of("s1", [STARTED, opened_, closed_]).connections == {}


def test_a_session_without_events_has_its_name_alone() -> None:
    assert status.state_of("s1", []) == status.SessionState("s1")


def test_connections_are_open_until_they_end_in_any_way() -> None:
    events: list[AnyEvent] = [
        STARTED,
        NameAssigned(name="a.example", address="198.18.1.0"),
        opened(1, name="a.example", at=5.0),
        opened(2),
        opened(3),
        opened(4),
        opened(5),
        dialled(1),
        dialled(2),
        dialled(1, "192.0.2.2"),
        closed(2),
        ConnectionDenied(connection=3, rule="deny"),
        DialFailed(connection=4, cause="refused", seconds=0.1),
    ]
    connections = status.state_of("s1", events).connections
    assert connections == {
        1: status.OpenConnection(1, "a.example:80", 5.0, "192.0.2.2"),
        5: status.OpenConnection(5, "192.0.2.1:80", 0.0),
    }


def test_two_sessions_do_not_share_connections() -> None:
    first = status.state_of("s1", [opened(1)])
    second = status.state_of("s2", [])
    assert (len(first.connections), len(second.connections)) == (1, 0)


def test_lines_for_people() -> None:
    state = status.state_of("s1", [STARTED, opened(1, name="a.example"), dialled(1), opened(12)])
    first, *rest = status.lines([state])
    assert first == "s1  curl (pid 77)"
    assert [line.split(None, 2) for line in rest] == [
        ["#1", "a.example:80", "192.0.2.1"],
        ["#12", "192.0.2.1:80", "being dialled"],
    ]
    assert list(status.lines([])) == ["no live session"]


def test_json_for_programs() -> None:
    state = status.state_of("s1", [STARTED, opened(1, at=5.0)])
    assert json.loads(status.as_json([state])) == [
        {
            "session": "s1",
            "program": "curl",
            "pid": 77,
            "proxy": "",
            "connections": {
                "1": {
                    "connection": 1,
                    "to": "192.0.2.1:80",
                    "since": 5.0,
                    "reached": None,
                    "held": None,
                    "served": False,
                    "protocol": None,
                    "suspected": None,
                }
            },
            "host_ports": [],
            "published": {},
            "is_passed_by": False,
            "complete": True,
        }
    ]
    assert json.loads(status.as_json([])) == []


def test_ports_of_the_host_are_told_with_their_use() -> None:
    def to(number: int, address: str, port: int, name: str | None = None) -> list[AnyEvent]:
        opened = ConnectionOpened(connection=number, address=address, port=port, name=name)
        return [opened, Dialled(connection=number, address="127.0.0.1", seconds=0)]

    log = [
        HostPortOpened(port=5432, source="--host-port"),
        HostPortOpened(port=80, last=90, source="/c.toml:1"),
        HostPortOpened(port=7, source="a lock file"),
        HostPortClosed(port=7, source="a lock file"),
        HostPortOpened(port=7, source="a lock file"),
        HostPortOpened(port=8, source="a lock file"),
        HostPortClosed(port=8, source="a lock file"),
        HostPortClosed(port=9, source="a log without its beginning"),
        *to(1, "127.0.0.1", 5432),
        *to(2, "::1", 80, "[::1]"),
        *to(3, "198.18.0.2", 90, "host.internal"),
        *to(4, "203.0.113.1", 5432),
        ConnectionOpened(connection=5, address="127.0.0.1", port=5432),
    ]
    told = [
        "port 5432 of the host's loopback opened by --host-port, used once",
        "ports 80-90 of the host's loopback opened by /c.toml:1, used 2 times",
        "port 7 of the host's loopback opened by a lock file, not used",
    ]
    state = status.state_of("s1", [STARTED, *log])
    assert state.host_ports == told
    ports = OpenedPorts()
    for event in log:
        ports.note(event)
    closed = "port 8 of the host's loopback opened by a lock file, not used, closed since"
    assert list(ports.told()) == [*told, closed]
    assert list(status.lines([state]))[1:4] == [f"  {line}" for line in told]


def test_a_full_log_is_told() -> None:
    state = status.state_of(
        "s1", [STARTED, opened(1), Dialled(connection=9, address="", seconds=0)]
    )
    assert state.complete
    full = status.state_of("s1", [STARTED, opened(1), LogFull(limit=1)])
    assert not full.complete
    assert "  the log is full: connections as they were then" in status.lines([full])


def test_a_fault_that_the_program_saw_has_ended_its_connection() -> None:
    fault = Fault(where="connection", connection=1, error="KeyError", cause="KeyError")
    assert list(status.state_of("s1", [opened(1), fault]).connections) == [1]
    fault.saw = "a reset"
    assert status.state_of("s1", [opened(1), fault]).connections == {}


def test_each_connection_says_how_it_stands() -> None:
    upstream = UpstreamOpened(connection=2, host="a.example", port=443)
    ready = UpstreamReady(connection=2, protocol="h2", seconds=0.1)
    suspected = Suspected(
        connection=2, retransmits=3, probes=0, unacked=1, silence=4.2, kind=Kind.SILENT
    )
    held = DialHeld(connection=1, cause="no answer")
    replaying = Replaying(connection=1, cause="closed")

    def state(*log: AnyEvent) -> str:
        *_others, last = status.state_of("s1", log).connections.values()
        return last.state()

    assert state(opened(1)) == "being dialled"
    assert state(opened(1), held) == "held, and dialled again: no answer"
    assert state(opened(1), dialled(1)) == "192.0.2.1"
    assert state(opened(1), dialled(1), replaying) == "held, and dialled again: closed"
    assert state(opened(1), ConnectionServed(connection=1)) == "answered by the gateway"
    assert state(upstream, dialled(2), ready) == "192.0.2.1 (h2)"
    doubt = "192.0.2.1 (h2), suspected: silent for 4 s"
    assert state(upstream, dialled(2), ready, suspected) == doubt
    assert state(upstream, dialled(2), suspected, Cleared(connection=2)) == "192.0.2.1"


def test_a_connection_that_is_held_says_why_until_it_is_reached() -> None:
    held = DialHeld(connection=1, cause="no answer")
    (open_,) = status.state_of("s1", [opened(1), held]).connections.values()
    assert open_.held == "no answer"
    (open_,) = status.state_of("s1", [opened(1), held, dialled(1)]).connections.values()
    assert open_.held is None


def test_published_ports() -> None:
    first = Published(port=80, host_port=8080, addresses=["127.0.0.1", "::1"], at=5.0)
    second = Published(port=81, host_port=81, addresses=["192.0.2.1"])
    ended = PublishEnded(port=81, host_port=81)
    state = status.state_of("s1", [STARTED, first, second, ended])
    assert list(status.lines([state]))[1:] == [
        "  port 80 inside: 127.0.0.1:8080 and [::1]:8080 on the host"
    ]
    (told,) = json.loads(status.as_json([state]))
    places = "127.0.0.1:8080 and [::1]:8080"
    assert told["published"] == {"8080": {"port": 80, "places": places, "since": 5.0}}
