"""The story: every loss told once, hidden or visible, in words that need no design document."""

from relay.record.events import (
    AnyEvent,
    AskedAgain,
    Cleared,
    ConnectionClosed,
    ConnectionOpened,
    DialFailed,
    DialHeld,
    Dialled,
    Distrusted,
    Fault,
    LogLost,
    LookupFailed,
    LookupHeld,
    Replaying,
    RequestLost,
    ServedStale,
    ServiceDown,
    SessionStarted,
    Slept,
    Suspected,
    TurnedAway,
    UpstreamClosed,
    UpstreamOpened,
)
from relay.record.kinds import Kind
from relay.record.story.entry import Mark, joined
from relay.record.story.losses import entries, losses

STARTED = SessionStarted(
    at=100,
    session="s",
    version="0",
    program="claude",
    pid=1,
    uid=1,
    intercept="tproxy",
    dns="synthetic",
)
OPENED = ConnectionOpened(at=101, connection=1, address="198.18.1.0", port=443, name="api.test")
DIALLED = Dialled(at=101, connection=1, address="192.0.2.1", seconds=0.01)
SUSPECTED = Suspected(at=110, connection=1, retransmits=3, probes=0, unacked=1, silence=4)


def closed(**changes: object) -> ConnectionClosed:
    values: dict[str, object] = {
        "at": 140,
        "connection": 1,
        "by": "upstream",
        "how": "reset",
        "sent": 2048,
        "received": 100,
        "seconds": 40,
        "idle": 30,
        "waiting": True,
    }
    return ConnectionClosed(**{**values, **changes})  # type: ignore[arg-type]


def told(*events: AnyEvent) -> list[tuple[bool, str]]:
    return [(loss.hidden, loss.what) for loss in losses([STARTED, OPENED, *events])]


def test_what_went_well_is_no_loss() -> None:
    ends = [closed(how="fin"), closed(by="program"), closed(by="keepline", how="session-end")]
    for end in ends:
        assert told(DIALLED, end) == []


def test_what_the_gateway_hides_and_what_not() -> None:
    again = AskedAgain(
        at=103,
        connection=1,
        method="POST",
        path="/v1/messages",
        cause="closed",
        resends=1,
        may_be_billed=True,
    )
    head = AskedAgain(connection=1, method="HEAD", path="/", cause="closed", resends=1)
    lost = RequestLost(
        connection=1,
        method="GET",
        path="/",
        cause="closed",
        resends=5,
        saw="status 502",
        why="asked 6 times already",
    )
    first = RequestLost(
        connection=9, method="POST", path="/x", cause="closed", resends=0, saw="reset"
    )
    assert all(event.is_loss for event in (again, lost))
    assert told(again, head, lost, first) == [
        (
            True,
            "api.test:443: the answer to POST /v1/messages was lost (closed) before the program"
            " had any of it; asked again, resend 1; upstream may bill both",
        ),
        (
            True,
            "api.test:443: the answer to HEAD / was lost (closed) before the program"
            " had any of it; asked again, resend 1",
        ),
        (
            False,
            "api.test:443: the answer to GET / was lost (closed); not asked again: asked 6 times"
            " already; the program saw status 502 with the cause in it",
        ),
        (False, "?: the answer to POST /x was lost (closed); the program saw a reset"),
    ]


def test_a_connection_of_the_gateway_that_fell_silent() -> None:
    opened = UpstreamOpened(at=105, connection=2, host="api.test", port=443)
    silent = Suspected(at=110, connection=2, retransmits=3, probes=0, unacked=1, silence=4)
    ended = UpstreamClosed(at=115, connection=2, cause="no ACK for 7 s")
    assert told(opened, ended) == []
    assert told(opened, silent, ended) == [
        (
            True,
            "api.test:443: fell silent (no ACK for 7 s); the gateway goes on with another"
            " connection",
        )
    ]


def test_a_program_that_does_not_know_the_ca() -> None:
    for how, words in (
        ("refused the certificate", "refused the gateway's certificate"),
        ("closed right after the handshake", "closed right after the TLS handshake"),
    ):
        event = Distrusted(connection=1, host="api.test", how=how)  # type: ignore[arg-type]
        assert event.is_loss is (how == "refused the certificate")
        ((hidden, what),) = told(event)
        assert not hidden
        assert words in what
        assert "NODE_EXTRA_CA_CERTS" in what
        assert what.endswith("for other programs use --gateway=http, or off")


def test_connections_that_go_past_the_gateway() -> None:
    event = Distrusted(connection=1, host="a.test", how="refused the certificate", goes_past=True)
    ((_hidden, what),) = told(event)
    assert what.endswith("the next connections of such programs go past the gateway")


def test_a_held_dial() -> None:
    held = DialHeld(at=102, connection=1, cause="Network is unreachable")
    reached = Dialled(at=122, connection=1, address="192.0.2.1", seconds=20, attempts=9)
    assert told(held, reached, closed(how="fin")) == [
        (
            True,
            "api.test:443: not reachable for 20.0 s (Network is unreachable); the program waited"
            " while it was dialled 9 times",
        )
    ]


def test_a_dial_given_up() -> None:
    held = DialHeld(at=102, connection=1, cause="no answer")
    failed = DialFailed(at=402, connection=1, cause="no answer, for 300 s", seconds=300)
    assert told(held, failed) == [
        (
            False,
            "api.test:443: not reachable for 300.0 s (no answer, for 300 s); the program saw a"
            " reset",
        )
    ]


def test_a_connect_that_is_given_up_names_what_held_it() -> None:
    held = DialHeld(at=102, connection=1, cause="no answer")
    gone = DialFailed(
        at=104, connection=1, cause="gave up", seconds=2, kind=Kind.PROGRAM_GONE, told="no answer"
    )
    assert told(held, gone) == [], "it may have been on purpose"
    (entry,) = entries([STARTED, OPENED, held, gone])
    assert (entry.mark, entry.is_told) == (Mark.GAVE_UP, True)
    assert entry.what == (
        "api.test:443: not reachable for 2.0 s (no answer); then the program's own time-out ended"
        " its connect()"
    )


def test_an_outage_that_outlasts_the_gateways_dial_is_told_once() -> None:
    opened = UpstreamOpened(connection=2, host="api.test", port=443)
    held = DialHeld(at=102, connection=2, cause="no answer")
    closed_ = UpstreamClosed(at=402, connection=2, cause="no answer, for 300 s")
    failed = DialFailed(
        at=402, connection=1, cause="no answer, for 300 s", seconds=300, told="no answer"
    )
    assert told(opened, held, closed_, failed) == [
        (
            False,
            "api.test:443: not reachable for 300.0 s (no answer, for 300 s); the program saw no"
            " answer",
        )
    ]


def test_a_refusal_at_once_is_what_it_is_everywhere() -> None:
    assert told(DialFailed(connection=1, cause="Connection refused", seconds=0)) == []


def test_a_replayed_client_hello() -> None:
    replaying = Replaying(at=102, connection=1, cause="Connection reset by peer")
    again = Dialled(at=103, connection=1, address="192.0.2.2", seconds=0.1)
    assert told(DIALLED, replaying, again) == [
        (
            True,
            "api.test:443: lost before the first byte of an answer (Connection reset by peer);"
            " the TLS ClientHello went to 192.0.2.2 instead",
        )
    ]


def test_an_outage_that_was_held() -> None:
    assert told(DIALLED, SUSPECTED, Cleared(at=130, connection=1)) == [
        (True, "api.test:443: silent for 20.0 s in an outage, then went on")
    ]


def test_a_loss_while_waiting() -> None:
    end = closed(how="timeout", cause="no ACK for 7 s, but a new connection is answered")
    assert told(DIALLED, SUSPECTED, end) == [
        (
            False,
            "api.test:443: fell silent (no ACK for 7 s, but a new connection is answered) while it"
            " waited for an answer, 30 s after the last byte (2.0 KiB sent, 100 B received"
            " before); the program saw a reset",
        )
    ]


def test_a_reset_of_which_the_program_missed_nothing_is_no_loss() -> None:
    assert told(DIALLED, closed(excuse="the program had gone")) == []
    assert told(DIALLED, closed(excuse="the answer had come early")) == []
    assert len(told(DIALLED, closed())) == 1


def test_a_loss_while_idle() -> None:
    assert told(DIALLED, closed(waiting=False, how="unreachable")) == [
        (
            False,
            "api.test:443: cut off from this host after 30 s idle, with nothing asked; a pool"
            " drops such a connection, most programs notice nothing",
        )
    ]


def test_a_loss_in_the_middle_of_an_answer() -> None:
    ((hidden, what),) = told(DIALLED, closed(waiting=False, idle=0.1))
    assert not hidden
    assert "right after 100 B of an answer, perhaps in the middle of it" in what


def test_a_loss_before_anything_was_said() -> None:
    ((hidden, what),) = told(DIALLED, closed(waiting=False, received=0))
    assert not hidden
    assert "before any data was sent" in what


def test_names() -> None:
    stale = ServedStale(name="api.test", cause="192.0.2.53: no answer in 10 s")
    failed = LookupFailed(name="new.test", type="A", cause="192.0.2.53: answered SERVFAIL")
    assert told(stale, failed) == [
        (
            True,
            "api.test: DNS failed (192.0.2.53: no answer in 10 s); the last known address served",
        ),
        (
            False,
            "new.test: not resolved (192.0.2.53: answered SERVFAIL); the program got an error",
        ),
    ]


def test_a_name_that_was_answered_late() -> None:
    held = LookupHeld(name="api.test", cause="no answer in 10 s", seconds=12.5)
    assert held.is_loss
    assert told(held) == [
        (True, "api.test: not resolved for 12.5 s (no answer in 10 s), then answered")
    ]


def test_what_a_name_is_to_blame_for_is_no_loss() -> None:
    failed = LookupFailed(name="new.test", type="A", cause="answered REFUSED", verdict=True)
    assert not failed.is_loss
    assert told(failed) == []


def test_an_event_of_a_connection_that_the_log_does_not_know() -> None:
    assert list(losses([STARTED, DIALLED, closed()])) == []


def test_trouble_upon_trouble_is_one_loss_from_its_beginning() -> None:
    replaying = Replaying(at=102, connection=1, cause="closed")
    held = DialHeld(at=104, connection=1, cause="no answer")
    failed = DialFailed(at=404, connection=1, cause="no answer, for 300 s", seconds=302)
    assert len(told(DIALLED, replaying, held, failed)) == 1


def test_what_counts_as_a_loss() -> None:
    lost = [
        DialHeld(connection=1, cause=""),
        Replaying(connection=1, cause=""),
        SUSPECTED,
        closed(),
        LookupFailed(name="", type="A", cause=""),
        ServedStale(name="", cause=""),
    ]
    assert all(event.is_loss for event in lost)
    others = [STARTED, OPENED, DIALLED, closed(how="fin"), closed(by="program"), Slept(seconds=9)]
    others.append(closed(after_fin=True))  # close_notify to a server that has closed
    assert not any(event.is_loss for event in others)


def fault(**changes: object) -> Fault:
    values: dict[str, object] = {
        "at": 103,
        "where": "connection",
        "connection": 1,
        "error": "KeyError",
        "cause": "KeyError",
        "kind": Kind.DEFECT,
        "saw": "a reset",
        "place": "a.py:1 in f",
        "traceback": "a.py:1 in f\nKeyError: KeyError",
    }
    return Fault(**{**values, **changes})  # type: ignore[arg-type]


def test_a_fault_is_seen_or_not_as_it_says() -> None:
    assert told(fault()) == [
        (False, "api.test:443: fault in connection (KeyError); the program saw a reset")
    ]
    assert told(fault(where="network change", connection=None, saw="")) == [
        (True, "fault in network change (KeyError); the program saw nothing of it")
    ]


def test_connections_that_are_turned_away_are_one_loss_with_a_count() -> None:
    cause = "Too many open files"
    away, more = (
        TurnedAway(at=at, where="the listener", kind=Kind.RESOURCES, cause=cause, count=count)
        for at, count in ((102, 1), (103, 4))
    )
    (entry,) = joined(losses([STARTED, away, more]))
    what = "the listener turned a connection away (Too many open files)"
    assert (entry.hidden, entry.what, entry.count, entry.until) == (False, what, 4, 103)


def test_a_service_that_rests_is_seen_and_a_log_that_is_not_complete_is_not() -> None:
    down = ServiceDown(service="name server", kind=Kind.DEFECT, failures=4, seconds=60)
    lost = LogLost(kind=Kind.OTHER, cause="No space left on device", events=3)
    assert told(down, lost) == [(False, down.text()), (True, lost.text())]
