"""Each event has one line for people, and no event has none."""

from datetime import UTC
from typing import get_args

import pytest

from relay.record import view
from relay.record.events import (
    AddressDenied,
    AnswerWithheld,
    AnyEvent,
    AskedAgain,
    Cleared,
    ConnectionClosed,
    ConnectionDenied,
    ConnectionOpened,
    ConnectionServed,
    ConnectLeft,
    DialFailed,
    DialHeld,
    Dialled,
    Distrusted,
    Fault,
    FurtherNames,
    GatewayUnused,
    HostPortClosed,
    HostPortOpened,
    How,
    InnerDiffers,
    InnerSeen,
    LeftBehind,
    LogChanged,
    LogContinued,
    LogFull,
    LogLost,
    LookupFailed,
    LookupHeld,
    LoopbackRefused,
    NameAssigned,
    NameForwarded,
    NameRefused,
    NamesBounded,
    PathDown,
    PathUp,
    PolicyChangeIgnored,
    PolicyTightened,
    ProxyRefused,
    Published,
    PublishEnded,
    PublishingBounded,
    PublishingFailed,
    Replaying,
    RequestLost,
    ResolversChanged,
    ResolverSilent,
    RulesLacking,
    RulesStand,
    ServedStale,
    ServiceDown,
    SessionEnded,
    SessionStarted,
    SideDoor,
    Slept,
    Suspected,
    TurnedAway,
    UpstreamClosed,
    UpstreamOpened,
    UpstreamReady,
    WentPast,
    size,
)
from relay.record.events.connections import ENDS
from relay.record.kinds import Kind

STARTED = SessionStarted(
    session="20260102-030405-77",
    version="0.1.0",
    program="curl",
    pid=77,
    uid=1000,
    intercept="tproxy",
    dns="synthetic",
    at=1_767_322_845.0,
)
CLOSED = ConnectionClosed(
    connection=1, by="upstream", how="fin", sent=1024, received=0, seconds=61.26, idle=60.0
)
TOLD: list[tuple[AnyEvent, str]] = [
    (
        RulesLacking(kind=Kind.RULES, cause="the rules of routing are not there"),
        "programs are not relayed: the rules of routing are not there",
    ),
    (RulesStand(), "the pod's rules stand: programs are relayed"),
    (LogContinued(session="20261127-080000-1"), "the record goes on in 20261127-080000-1"),
    (
        SessionEnded(status=143, connections=2, seconds=61.26),
        "session ended with status 143 after 61.3 s and 2 connections",
    ),
    (
        LogFull(limit=8 << 20),
        "the log is close to its limit of 8.0 MiB: from here on it has only what was lost, denied"
        " or failed",
    ),
    (
        LogChanged(kind=Kind.TAMPERED, how="cut short"),
        "the log was cut short by another process: it does not have all that happened",
    ),
    (
        LogLost(kind=Kind.OTHER, cause="No space left on device", events=3),
        "3 events are not in the log: No space left on device",
    ),
    (
        Fault(
            where="connection",
            connection=7,
            kind=Kind.DEFECT,
            error="KeyError",
            cause="KeyError",
            saw="a reset",
            place="relay/tcp/handlers.py:75 in handler_for",
            traceback="relay/tcp/handlers.py:75 in handler_for\nKeyError: KeyError",
        ),
        (
            "#7 fault in connection: KeyError (relay/tcp/handlers.py:75 in handler_for);"
            " the program saw a reset"
        ),
    ),
    (
        Fault(where="network change", kind=Kind.RESOURCES, error="OSError", cause="No buffers"),
        "fault in network change: No buffers",
    ),
    (
        ServiceDown(service="name server", kind=Kind.DEFECT, failures=4, seconds=60.0),
        "name server has failed 4 times in a minute: it rests for 60 s",
    ),
    (
        ProxyRefused(how="HTTP/1.1 407 Proxy Authentication Required", count=2),
        "the proxy did not serve a request (HTTP/1.1 407 Proxy Authentication Required), 2 so far",
    ),
    (
        TurnedAway(where="the listener", kind=Kind.RESOURCES, cause="Too many open files", count=8),
        "the listener reset a connection (Too many open files), 8 so far",
    ),
    (ConnectionOpened(connection=1, address="192.0.2.1", port=80), "#1 opened to 192.0.2.1:80"),
    (
        ConnectionOpened(connection=1, address="198.18.1.0", port=80, name="a.example"),
        "#1 opened to a.example:80",
    ),
    (
        ConnectionDenied(connection=1, rule="deny a.example"),
        "#1 denied: deny a.example; the program saw a reset",
    ),
    (
        ConnectionDenied(connection=1, rule="*", told="unreachable", count=4),
        "#1 denied: *; the program saw unreachable; 4 times so far",
    ),
    (
        ConnectionDenied(connection=1, rule="10.0.0.0/8", address="10.1.2.3", reason="company"),
        "#1 denied: 10.0.0.0/8 (10.1.2.3; company); the program saw a reset",
    ),
    (
        AddressDenied(connection=1, rule="10.0.0.0/8", address="10.1.2.3", reason="company"),
        "#1 one of its addresses is denied: 10.0.0.0/8 (10.1.2.3; company)",
    ),
    (
        ConnectionDenied(connection=1, rule="no allow rule matches", inner="b.test"),
        "#1 denied: no allow rule matches (b.test); the program saw a reset",
    ),
    (
        InnerDiffers(connection=1, inner="b.test", rule="*.test", reason="no", count=2),
        "#1 passed on, though it asks for b.test, which is denied: *.test (no); 2 times so far",
    ),
    (InnerSeen(connection=1, inner="b.test"), "#1 asks for b.test"),
    (
        PolicyTightened(files=["/c/config.toml", "/p/.keepline.toml"]),
        "the rules have become tighter: /c/config.toml, /p/.keepline.toml",
    ),
    (
        PolicyChangeIgnored(kind=Kind.SETTING, cause="/c/config.toml:1: deny: no"),
        "a change of the settings is ignored: /c/config.toml:1: deny: no",
    ),
    (
        Published(port=80, host_port=80, addresses=["127.0.0.1", "::1"]),
        "port 80 inside is 127.0.0.1:80 and [::1]:80 on the host",
    ),
    (
        Published(port=80, host_port=10080, addresses=["127.0.0.1"], why="Permission denied"),
        "port 80 inside is 127.0.0.1:10080 on the host, for port 80 is not free there:"
        " Permission denied",
    ),
    (
        PublishEnded(port=80, host_port=8080, connections=2),
        "port 80 inside is no longer port 8080 on the host; connections: 2",
    ),
    (
        PublishEnded(port=80, host_port=80, refused=1),
        "port 80 inside is no longer port 80 on the host; connections: 0, refused: 1",
    ),
    (
        PublishingBounded(what="ports", limit=256, kind=Kind.BOUND),
        "more than 256 ports listen inside: others are not published",
    ),
    (
        PublishingBounded(what="events", limit=1000, kind=Kind.BOUND),
        "ports were published 1000 times: further times are not recorded",
    ),
    (
        PublishingFailed(cause="No such process", kind=Kind.OTHER),
        "servers inside are not reached from the host: No such process",
    ),
    (
        HostPortOpened(port=5432, source="--host-port"),
        "port 5432 of the host's loopback opened by --host-port",
    ),
    (
        HostPortOpened(port=80, last=90, source="/c/config.toml:1"),
        "ports 80-90 of the host's loopback opened by /c/config.toml:1",
    ),
    (
        HostPortClosed(port=4711, source="IDE lock file /l"),
        "port 4711 of the host's loopback closed: IDE lock file /l",
    ),
    (
        SideDoor(program="docker", asks="the container engine"),
        "docker asks the container engine, which is outside: what that does has the host's network,"
        " and keepline sees nothing of it",
    ),
    (ConnectionServed(connection=1), "#1 served by the gateway"),
    (
        GatewayUnused(host="api.example", why="gateway = off"),
        "api.example is asked without the gateway: gateway = off",
    ),
    (
        WentPast(connection=1, host="api.example"),
        "#1 goes past the gateway for api.example, which its program refused",
    ),
    (
        LoopbackRefused(address="127.0.0.1", port=5432, kind=Kind.REFUSED, on_host=True),
        "127.0.0.1:5432 refused: nobody listens there inside, somebody does on the host",
    ),
    (
        LoopbackRefused(address="127.0.0.1", port=1, kind=Kind.REFUSED, on_host=False, count=2),
        "127.0.0.1:1 refused: nobody listens there inside, nor does anybody on the host;"
        " 2 times so far",
    ),
    (
        LoopbackRefused(address="127.0.0.1", port=1, name="host.internal", on_host=True),
        "host.internal:1 refused: that port is closed, somebody listens there",
    ),
    (
        LoopbackRefused(address="127.0.0.1", port=1, name="host.internal", on_host=False),
        "host.internal:1 refused: that port is closed, nobody listens there",
    ),
    (
        ConnectLeft(address="203.0.113.9", port=443, kind=Kind.BOUND, count=4),
        "connect() to 203.0.113.9:443 is to wait: too many are pending; 4 times so far",
    ),
    (
        LookupHeld(name="a.example", kind=Kind.TIMEOUT, cause="no answer in 10 s", seconds=12.5),
        "name a.example: answered after 12.5 s; at first: no answer in 10 s",
    ),
    (
        Dialled(connection=1, address="192.0.2.1", seconds=0.0123),
        "#1 reached 192.0.2.1 in 12.3 ms",
    ),
    (
        Dialled(connection=1, address="192.0.2.1", seconds=2.5, attempts=3),
        "#1 reached 192.0.2.1 in 2500.0 ms, attempt 3",
    ),
    (
        DialFailed(connection=1, cause="Connection refused", seconds=0.01),
        "#1 not reached in 0.0 s: Connection refused; the program saw a reset",
    ),
    (
        DialHeld(connection=1, cause="Network is unreachable"),
        "#1 held while it is dialled again: Network is unreachable",
    ),
    (
        Replaying(connection=1, cause="reset"),
        "#1 upstream lost before its first byte: reset; again",
    ),
    (
        NameAssigned(name="a.example", address="198.18.1.0"),
        "name a.example is 198.18.1.0 in this session",
    ),
    (
        NameForwarded(name="a.example", type="TXT"),
        "name a.example: TXT asked of the resolvers",
    ),
    (
        FurtherNames(zone="a.example", what="refused", count=4),
        "names of a.example: more of them refused; 4 times so far",
    ),
    (
        NamesBounded(zone="a.example", cause="128 names of a zone an hour", count=2),
        "names of a.example: not asked for: 128 names of a zone an hour; 2 times so far",
    ),
    (
        NameRefused(name="a.example", type="A", rule="b.test", reason="why", alias="b.test"),
        "name a.example: A refused: b.test (an alias of b.test; why)",
    ),
    (
        AnswerWithheld(name="a.example", type="AAAA", why="IPv4 only"),
        "name a.example: AAAA withheld (IPv4 only)",
    ),
    (
        NameRefused(name="a.example", type="A", rule="deny *"),
        "name a.example: A refused: deny *",
    ),
    (
        LookupFailed(name="a.example", type="A", cause="no answer"),
        "name a.example: A not resolved: no answer",
    ),
    (
        ServedStale(name="a.example", cause="no answer"),
        "name a.example: last known address used again (no answer)",
    ),
    (
        ResolverSilent(server="192.0.2.53", cause="no answer in 2 s"),
        "resolver 192.0.2.53 gave no answer: no answer in 2 s",
    ),
    (
        ResolversChanged(resolvers=["192.0.2.53", "192.0.2.54"]),
        "resolvers are now 192.0.2.53, 192.0.2.54",
    ),
    (
        Suspected(connection=1, retransmits=3, probes=2, unacked=1, silence=2.04),
        "#1 upstream silent for 2.0 s: 3 retransmissions, 2 probes unanswered,"
        " 1 segments outstanding",
    ),
    (
        UpstreamOpened(connection=2, host="a.example", port=443),
        "#2 opened by the gateway to a.example:443",
    ),
    (UpstreamReady(connection=2, protocol="h2", seconds=0.0123), "#2 speaks h2 after 12.3 ms"),
    (
        UpstreamClosed(connection=2, cause="closed", sent=1024, received=0, seconds=2.04),
        "#2 of the gateway ended (closed) after 2.0 s; sent 1.0 KiB, received 0 B",
    ),
    (
        AskedAgain(connection=1, method="GET", path="/v1/models", cause="closed", resends=1),
        "#1 GET /v1/models lost (closed): asked again, resend 1",
    ),
    (
        AskedAgain(
            connection=1,
            method="POST",
            path="/v1/messages",
            cause="closed",
            resends=2,
            may_be_billed=True,
        ),
        "#1 POST /v1/messages lost (closed): asked again, resend 2; it may be billed twice",
    ),
    (
        RequestLost(
            connection=1, method="GET", path="/", cause="closed", resends=0, saw="status 502"
        ),
        "#1 GET / lost (closed) and given up after 0 resends; the program saw: status 502",
    ),
    (
        RequestLost(
            connection=1,
            method="GET",
            path="/",
            cause="closed",
            resends=5,
            saw="reset",
            why="enough",
        ),
        "#1 GET / lost (closed) and given up after 5 resends: enough; the program saw: reset",
    ),
    (
        Distrusted(connection=1, host="a.example", how="refused the certificate"),
        "#1 refused the certificate of the gateway for a.example",
    ),
    (Cleared(connection=1), "#1 upstream has answered after all"),
    (PathDown(address="192.0.2.1"), "no answer from 192.0.2.1: its connections are held"),
    (PathUp(address="192.0.2.1", seconds=20.04), "192.0.2.1 answers again after 20.0 s"),
    (
        LeftBehind(processes=["tmux: server (12)", "sleep (34)"]),
        "left behind, without a network from now on: tmux: server (12), sleep (34)",
    ),
    (Slept(seconds=600.4), "the machine slept for 600 s"),
]


@pytest.mark.parametrize(("event", "line"), TOLD)
def test_an_event_is_told_in_a_line(event: AnyEvent, line: str) -> None:
    assert event.text() == line


def test_what_the_program_got_all_the_same_is_no_failure() -> None:
    assert not AddressDenied(connection=1, rule="10.0.0.0/8", address="10.1.2.3").is_failure
    assert not InnerDiffers(connection=1, inner="b.test", rule="*.test").is_failure
    assert ConnectionDenied(connection=1, rule="*").is_failure


def test_a_start_is_told_with_its_local_time() -> None:
    line = STARTED.text()
    assert line.startswith("session 20260102-030405-77 of curl started 2026-01-0")
    assert line.endswith(" (pid 77, uid 1000, tproxy, synthetic names)")
    STARTED.gateway = "gateway on: it reads all"
    STARTED.rules = "mode open, deny rules: 1"
    assert STARTED.text().endswith("; gateway on: it reads all; mode open, deny rules: 1")


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("fin", "closed by upstream"),
        ("reset", "reset by upstream"),
        ("timeout", "lost: upstream fell silent"),
        ("unreachable", "lost: upstream became unreachable"),
        ("session-end", "cut off as the session ended"),
    ],
)
def test_an_end_is_told_with_who_how_and_how_much(how: How, told: str) -> None:
    CLOSED.how = how
    CLOSED.cause = None
    rest = "after 61.3 s, idle 60.0 s; sent 1.0 KiB, received 0 B"
    assert CLOSED.text() == f"#1 {told} {rest}"
    CLOSED.cause = "No route to host"
    assert CLOSED.text() == f"#1 {told} (No route to host) {rest}"
    CLOSED.excuse = "the program had gone"
    assert CLOSED.text() == f"#1 {told} (No route to host); the program had gone, {rest}"
    CLOSED.excuse = ""


def test_no_event_is_forgotten_here() -> None:
    tried = {type(event) for event, _line in TOLD} | {SessionStarted, ConnectionClosed}
    assert tried == set(get_args(AnyEvent))
    assert set(get_args(How)) == set(ENDS)


def test_lines_have_the_time_of_day_and_the_day_where_it_changes() -> None:
    events: list[AnyEvent] = [
        LogFull(limit=1, at=100.0),
        LogFull(limit=2, at=100.25),
        LogFull(limit=3, at=86_400.0),
    ]
    lines = list(view.log_lines(events, UTC))
    assert [line.split("  ")[0] for line in lines] == [
        "1970-01-01, UTC+00:00",
        "00:01:40.000",
        "00:01:40.250",
        "1970-01-02, UTC+00:00",
        "00:00:00.000",
    ]
    assert list(view.log_lines([])) == []


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1 << 20, "1.0 MiB"),
        (5 << 30, "5.0 GiB"),
        (5 << 40, "5120.0 GiB"),
    ],
)
def test_sizes(count: int, text: str) -> None:
    assert size(count) == text
