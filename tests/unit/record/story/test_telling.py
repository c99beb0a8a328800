"""What is told of a session: everything that came to nothing, by whom, and what changes it."""

from datetime import UTC

import pytest

from relay.record.events import (
    AnyEvent,
    ConnectionDenied,
    ConnectLeft,
    DialFailed,
    DialHeld,
    Dialled,
    Fault,
    FurtherNames,
    GatewayUnused,
    HostPortClosed,
    HostPortOpened,
    LogFull,
    LookupFailed,
    LoopbackRefused,
    NameRefused,
    NamesBounded,
    PolicyChangeIgnored,
    Published,
    PublishingFailed,
    ServedStale,
    SessionEnded,
    SideDoor,
    Slept,
    WentPast,
)
from relay.record.kinds import Kind
from relay.record.story.advice import ADVICE, GATEWAY_OFF
from relay.record.story.entry import Entry, Mark
from relay.record.story.telling import REPEAT, end_line, lines, summary
from tests.unit.record.story.test_losses import (
    DIALLED,
    OPENED,
    STARTED,
    SUSPECTED,
    closed,
    fault,
)

ENDED = SessionEnded(at=500, status=1, connections=1, seconds=400)


def story(*events: AnyEvent, verbose: bool = False, is_live: bool = False) -> list[str]:
    """Return the lines after the first."""
    log = [STARTED, OPENED, *events, *([] if is_live else [ENDED])]
    return list(lines(log, verbose=verbose, is_live=is_live, zone=UTC))[1:]


def at_end(*events: AnyEvent, has_failed: bool = True) -> str:
    return end_line([STARTED, OPENED, *events, ENDED], has_failed=has_failed)


def advice(kind: Kind) -> str:
    return f"  {kind}: {ADVICE[kind].text}."


def refused(count: int = 1, at: float = 102) -> NameRefused:
    return NameRefused(
        at=at, name="api.test", type="A", kind=Kind.POLICY, rule="*.test", count=count
    )


def dial_failed(**changes: object) -> DialFailed:
    values: dict[str, object] = {
        "at": 104,
        "connection": 1,
        "cause": "no answer",
        "seconds": 2.0,
        "kind": Kind.PROGRAM_GONE,
        "told": "no answer",
    }
    return DialFailed(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", Kind)
def test_each_kind_has_advice(kind: Kind) -> None:
    assert ADVICE[kind].text


def test_the_whole_story() -> None:
    slept = Slept(at=120, seconds=600)
    told = story(DIALLED, SUSPECTED, slept, closed(kind=Kind.RESET), verbose=True)
    assert told[0] == "00:02:00           the machine slept for 600 s"
    assert told[1].startswith("00:02:20  VISIBLE  api.test:443: reset by the other side while it")
    assert told[2].strip().startswith("#1 upstream silent for 4.0 s")
    assert told[3].strip().startswith("#1 reset by upstream")
    assert told[4:] == ["1 loss: 0 hidden, 1 visible.", advice(Kind.RESET), REPEAT]


def test_a_quiet_session() -> None:
    assert story(DIALLED) == ["Nothing was lost."]
    assert list(lines([])) == ["Nothing was recorded."]
    assert at_end() == ""


def test_a_session_without_a_connection_has_lost_nothing_that_could_be_seen() -> None:
    none = SessionEnded(at=500, status=0, connections=0, seconds=400)
    assert list(lines([STARTED, none], zone=UTC))[1:] == ["No connection was seen at all."]
    assert list(lines([STARTED], is_live=True))[1:] == ["No connection was seen so far."]
    full = LogFull(at=102, limit=8 << 20)
    assert list(lines([STARTED, full, none], zone=UTC))[-1] == "Nothing was lost."


def test_who_is_asked_outside_and_which_ports_of_the_host_are_open() -> None:
    door = SideDoor(at=101, program="docker", asks="the container engine")
    opened = HostPortOpened(at=102, port=4711, source="IDE lock file /l")
    closed_again = HostPortClosed(at=103, port=4711, source="IDE lock file /l")
    *told, end = lines([STARTED, door, opened, closed_again], is_live=True, zone=UTC)
    assert sorted(line[19:] for line in told[1:]) == [
        door.text(),
        f"{opened.text()}, not used, closed since",
    ]
    assert end == "No connection was seen so far."


def test_the_day_is_told_where_it_changes() -> None:
    stale = ServedStale(at=86_400, name="api.test", kind=Kind.TIMEOUT, cause="no answer")
    day, line, counted = story(stale)
    assert day == "1970-01-02, UTC+00:00"
    assert line.startswith("00:00:00  hidden   api.test: DNS failed")
    assert counted == "1 loss: 1 hidden, 0 visible."


def test_losses_are_counted_and_so_is_the_rest() -> None:
    marks = (Mark.HIDDEN, Mark.VISIBLE, Mark.DENIED, Mark.GAVE_UP, Mark.FAILED, Mark.NOTE)
    entries = [Entry(0, mark, "", count=1 + (mark is Mark.DENIED)) for mark in marks]
    assert summary(entries[:2]) == "2 losses: 1 hidden, 1 visible."
    rest = "2 denied, 1 given up, 1 failed as without keepline."
    assert summary(entries) == f"2 losses: 1 hidden, 1 visible; {rest}"
    assert summary(entries[2:]) == f"No loss; {rest}"


def test_without_verbose_a_loss_is_one_line() -> None:
    held = DialHeld(at=102, connection=1, cause="no answer")
    reached = Dialled(at=122, connection=1, address="192.0.2.1", seconds=20, attempts=9)
    told = story(held, reached)
    assert len(told) == 2
    assert told[-1] == "1 loss: 1 hidden, 0 visible."


def test_a_defect_is_to_be_reported_with_its_traceback() -> None:
    told = story(fault(), verbose=True)
    assert [line.strip() for line in told[1:4]] == [
        "#1 fault in connection: KeyError (a.py:1 in f); the program saw a reset",
        "a.py:1 in f",
        "KeyError: KeyError",
    ]
    assert told[-2:] == [advice(Kind.DEFECT), REPEAT]
    assert advice(Kind.DEFECT) not in story(fault(kind=Kind.RESOURCES))


def test_denials_are_one_line_with_the_rule() -> None:
    told = story(refused(), refused(2), refused(200, at=190))
    assert told == [
        "00:01:42  denied   api.test: denied by the rule deny *.test (200 times, until 00:03:10)",
        "No loss; 200 denied.",
        advice(Kind.POLICY),
    ]


def test_the_types_of_a_name_are_counted_together() -> None:
    other = NameRefused(
        at=103, name="api.test", type="AAAA", kind=Kind.POLICY, rule="*.test", count=5
    )
    assert "(7 times, until 00:01:43)" in story(refused(), refused(2), other)[0]


def test_what_may_not_leave_is_told_though_the_command_succeeds() -> None:
    cause = "more than may leave in questions: 128 names of a zone an hour"
    bounded = NamesBounded(at=102, zone="evil.test", kind=Kind.CHANNEL, cause=cause, count=72)
    assert bounded.is_loss
    told = f"evil.test: names not asked for ({cause}); the program saw an error"
    assert story(bounded)[0] == f"00:01:42  VISIBLE  {told} (72 times)"
    assert advice(Kind.CHANNEL) in story(bounded)
    assert at_end(bounded, has_failed=False) == (
        "72 losses: 0 hidden, 72 visible. What changes it: --allow NAME."
    )


def test_connects_that_were_to_wait_are_told_if_the_command_fails() -> None:
    left = ConnectLeft(at=102, address="203.0.113.9", port=443, kind=Kind.BOUND, count=3000)
    assert story(left)[0] == (
        "00:01:42  limit    203.0.113.9:443: connects were to wait until others had ended:"
        " too many were pending (3000 times)"
    )
    assert not at_end(left, has_failed=False)


def test_names_that_have_no_events_of_their_own_are_denied_too() -> None:
    further = FurtherNames(at=103, zone="api.test", what="refused", kind=Kind.BOUND, count=9936)
    assert further.is_failure
    assert story(refused(), further) == [
        "00:01:42  denied   api.test: denied by the rule deny *.test",
        "00:01:43  denied   further names of api.test: denied (9936 times)",
        "No loss; 9937 denied.",
        advice(Kind.POLICY),
    ]
    assigned = FurtherNames(at=103, zone="api.test", what="assigned", kind=Kind.BOUND)
    assert story(assigned) == ["Nothing was lost."]


def test_those_that_are_counted_with_others_are_one_line() -> None:
    many, further = refused(200), refused(300, at=190)
    many.together = further.together = True
    further.name = "another.test"
    assert story(many, further)[0] == (
        "00:01:42  denied   api.test and others: denied by the rule deny *.test"
        " (300 times, until 00:03:10)"
    )


def test_an_alias_that_is_denied_is_told_with_its_name() -> None:
    denied = NameRefused(
        at=102,
        name="api.test",
        type="A",
        kind=Kind.POLICY,
        rule="*.evil.test",
        reason="no secrets",
        alias="x.evil.test",
    )
    assert story(denied)[0] == (
        "00:01:42  denied   api.test: denied by the rule deny *.evil.test"
        " (an alias of x.evil.test; no secrets)"
    )


def test_a_log_without_counts_is_counted_here() -> None:
    assert "(3 times, until 00:01:42)" in story(refused(), refused(), refused())[0]


def test_a_denial_is_told_at_the_end_where_the_command_failed() -> None:
    denied = ConnectionDenied(
        at=102, connection=1, kind=Kind.POLICY, rule="no allow rule matches", told="unreachable"
    )
    assert at_end(denied, has_failed=False) == ""
    assert at_end(denied) == (
        "api.test:443: denied: no allow rule matches. What changes it: --allow, --deny."
    )
    assert at_end(denied, refused(3)) == (
        "api.test:443: denied: no allow rule matches, and 1 more. What changes it: --allow, --deny."
    )
    assert at_end(refused(3)).startswith("api.test: denied by the rule deny *.test, 3 times.")


def test_what_cannot_be_dialled_is_no_denial() -> None:
    mistake = ConnectionDenied(
        at=102, connection=1, kind=Kind.UNDIALABLE, rule="not an address of another host"
    )
    assert story(mistake) == [
        "00:01:42  failed   api.test:443: not an address of another host",
        "No loss; 1 failed as without keepline.",
        advice(Kind.UNDIALABLE),
    ]
    assert at_end(mistake) == ""


def test_a_refusal_is_told_here_alone() -> None:
    failed = dial_failed(kind=Kind.REFUSED, cause="Connection refused", told="a refusal")
    assert story(failed)[0] == (
        "00:01:44  failed   api.test:443: Connection refused; the program saw a refusal"
    )
    assert at_end(failed) == ""


def test_a_dial_that_the_program_gave_up() -> None:
    assert story(dial_failed()) == [
        "00:01:44  gave up  api.test:443: no answer for 2.0 s; then the program's own time-out"
        " ended its connect()",
        "No loss; 1 given up.",
        advice(Kind.PROGRAM_GONE),
    ]
    assert at_end(dial_failed(), has_failed=False) == ""
    assert "no answer for 2.0 s" in at_end(dial_failed())
    assert story(dial_failed(seconds=0.5)) == ["Nothing was lost."], "it dials several"
    ended = dial_failed(kind=Kind.SESSION_END)
    assert not ended.is_loss
    assert "then the command ended" in story(ended)[0]


def test_patience_that_has_run_out() -> None:
    over = dial_failed(kind=Kind.TIMEOUT, cause="no answer, for 3 s", told="a reset", seconds=3.0)
    assert over.is_loss
    assert story(over)[0].endswith(
        "not reachable for 3.0 s (no answer, for 3 s); the program saw a reset"
    )
    assert at_end(over, has_failed=False) == (
        "1 loss: 0 hidden, 1 visible. What changes it: --patience."
    )


def test_a_dial_for_want_of_descriptors_is_a_loss() -> None:
    lack = dial_failed(kind=Kind.RESOURCES, cause="Too many open files", told="unreachable")
    assert lack.is_loss
    assert at_end(lack).endswith("What changes it: ulimit -Hn.")


def test_the_same_loss_again_is_in_the_same_line() -> None:
    lack = {"kind": Kind.RESOURCES, "cause": "Too many open files", "told": "unreachable"}
    told = story(dial_failed(**lack), dial_failed(**lack, count=4, at=190))
    assert told[0].endswith("the program saw unreachable (4 times, until 00:03:10)")
    assert told[1] == "4 losses: 0 hidden, 4 visible."


def test_names_that_are_not_resolved() -> None:
    verdict = LookupFailed(
        at=102, name="x.test", type="A", kind=Kind.NAME_FAILURE, cause="REFUSED", verdict=True
    )
    assert story(verdict)[0].endswith("x.test: not resolved (REFUSED), as without keepline")
    assert at_end(verdict) == ""
    pending = LookupFailed(
        at=102, name="x.test", type="A", kind=Kind.SESSION_END, cause="no answer", seconds=3.0
    )
    assert not pending.is_loss
    assert story(pending)[0].endswith(
        "gave up  x.test: not resolved for 3.0 s (no answer); then the command ended"
    )
    assert "not resolved for 3.0 s" in at_end(pending)


def test_the_hosts_own_loopback() -> None:
    outside = LoopbackRefused(
        at=102, address="127.0.0.1", port=5432, kind=Kind.REFUSED, on_host=True, count=3
    )
    assert story(outside)[0] == (
        "00:01:42  limit    127.0.0.1:5432: refused: nobody listens there inside the session;"
        " --host-port 5432 leads to the host's own server there (3 times)"
    )
    assert "--host-port 5432 leads to the host's own server there, 3 times" in at_end(outside)
    nobody = LoopbackRefused(
        at=102, address="127.0.0.1", port=5432, kind=Kind.REFUSED, on_host=False
    )
    assert story(nobody)[0].endswith("nobody listens there inside the session")
    assert at_end(nobody) == ""
    by_name = LoopbackRefused(
        at=102, address="127.0.0.1", port=5432, name="host.internal", on_host=False
    )
    assert story(by_name)[0].endswith(
        "failed   host.internal:5432: refused: no --host-port opens that port of the host"
    )


def test_a_gateway_that_was_not_used() -> None:
    unused = GatewayUnused(at=102, host="api.test", why="the command is not claude")
    assert story(unused, DIALLED) == [
        "00:01:42           api.test: its answers are not read by the gateway: the command is not"
        " claude",
        "Nothing was lost.",
    ]
    lost = closed(kind=Kind.RESET)
    told = story(unused, DIALLED, lost)
    assert f"  api.test: {GATEWAY_OFF.text}." in told
    assert at_end(unused, DIALLED, lost, has_failed=False).endswith(
        "What changes it: --gateway=tls."
    )
    unused.by_choice = True
    assert at_end(unused, DIALLED, lost, has_failed=False) == "1 loss: 0 hidden, 1 visible."


def test_a_full_log_says_so() -> None:
    full = LogFull(at=102, limit=1 << 20)
    assert "--log-limit N allows N MiB" in story(full)[0]


def test_what_the_log_had_no_room_for() -> None:
    ended = SessionEnded(at=500, status=0, connections=1, seconds=400, omitted={"slept": 3})
    assert "; the log had no room for: 3 slept" in story(ended, is_live=True)[0]


def test_a_log_whose_beginning_is_gone() -> None:
    told = list(lines([OPENED, ENDED], zone=UTC))
    assert told[1] == "The beginning is missing: the file was changed by another than keepline."


def test_a_change_of_the_settings_that_does_not_hold() -> None:
    ignored = PolicyChangeIgnored(at=102, kind=Kind.SETTING, cause="/c.toml: it allows more")
    assert story(ignored)[0] == (
        "00:01:42           settings: a change is ignored: /c.toml: it allows more"
    )


def test_a_keepline_that_was_killed() -> None:
    told = list(lines([STARTED, OPENED, DIALLED], zone=UTC))[1:]
    assert told[:3] == [
        "00:01:41           keepline itself was killed, or the machine went down, at this time or"
        " soon after",
        "00:01:41  VISIBLE  api.test:443: ended with keepline",
        "1 loss: 0 hidden, 1 visible.",
    ]
    assert story(DIALLED, is_live=True) == ["Nothing was lost."], "it still runs"


def test_a_fault_that_nobody_saw_needs_no_advice() -> None:
    hidden = Fault(at=103, where="x", kind=Kind.DEFECT, error="KeyError", cause="KeyError")
    assert story(hidden)[-1] == "1 loss: 1 hidden, 0 visible."


def test_connections_that_go_past_the_gateway_are_told_in_one_line() -> None:
    past = [WentPast(at=102 + number, connection=number, host="api.test") for number in range(3)]
    (line,) = [each for each in story(*past) if "api.test" in each]
    assert "api.test: a program that had refused the gateway's certificate went past it" in line
    assert "(3 times" in line


def test_each_published_port_is_told_once() -> None:
    again = [
        Published(at=200 + number, port=port, host_port=port, addresses=["::1"])
        for number, port in enumerate([*range(1, 26), *range(1, 26)])
    ]
    told = story(*again, PublishingFailed(at=300, cause="No such process"))
    assert told[0].endswith("port 1 inside is [::1]:1 on the host")
    assert [line.partition("  ")[2].strip() for line in told[19:22]] == [
        "port 20 inside is [::1]:20 on the host",
        "and 5 more: keepline log",
        "servers inside are not reached from the host: No such process",
    ]
    assert told[22:] == ["Nothing was lost."]
    assert at_end(*again) == ""
