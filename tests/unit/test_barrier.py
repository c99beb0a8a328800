"""What a fault ends, what goes on past the barrier, and how a service is started again."""

import errno
import os

import pytest
import trio
import trio.testing

from netns.errors import KeeplineError
from relay.barrier import LONGEST, LONGEST_REST, PAUSES, WITHIN, contained, kept_running, note
from relay.record.events import Event, Fault, ServiceDown
from relay.record.kinds import CausedError, Kind


def fail(error: BaseException) -> None:
    raise error


def only(events: list[Event]) -> Fault:
    (fault,) = events
    assert isinstance(fault, Fault)
    return fault


def test_a_fault_is_recorded_and_the_next_statement_runs() -> None:
    events: list[Event] = []
    with contained(events.append, "question", 7, "SERVFAIL") as attempt:
        fail(KeyError("secret"))
    assert attempt.failed
    fault = only(events)
    assert (fault.where, fault.connection, fault.saw) == ("question", 7, "SERVFAIL")
    assert (fault.error, fault.cause, fault.kind) == ("KeyError", "KeyError", Kind.DEFECT)
    assert fault.place.startswith("tests/unit/test_barrier.py:")
    assert fault.place.endswith(" in fail")
    *frames, last = fault.traceback.splitlines()
    assert frames[-1] == fault.place
    assert [line.rpartition(" in ")[2] for line in frames] == [
        "test_a_fault_is_recorded_and_the_next_statement_runs",
        "fail",
    ]
    assert last == "KeyError: KeyError"


def test_without_a_fault_nothing_is_recorded() -> None:
    events: list[Event] = []
    with contained(events.append, "question") as attempt:
        pass
    assert (attempt.failed, events) == (False, [])


@pytest.mark.parametrize(
    ("error", "cause", "kind"),
    [
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "Too many open files", Kind.RESOURCES),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "Input/output error", Kind.DEFECT),
        (OSError("what was sent"), "OSError", Kind.DEFECT),
        (CausedError("no answer", Kind.TIMEOUT), "no answer", Kind.DEFECT),
        (KeeplineError("no namespace", "make one"), "no namespace", Kind.DEFECT),
        (ValueError(b"what was sent"), "ValueError", Kind.DEFECT),
    ],
)
def test_a_cause_quotes_nothing_that_may_have_been_sent(
    error: Exception, cause: str, kind: Kind
) -> None:
    events: list[Event] = []
    note(events.append, "question", error)
    fault = only(events)
    assert (fault.cause, fault.kind, fault.place) == (cause, kind, "")
    assert "sent" not in fault.traceback


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_what_is_no_exception_goes_on(error: BaseException) -> None:
    events: list[Event] = []
    with pytest.raises(type(error)), contained(events.append, "question"):
        raise error
    assert events == []


def test_only_the_faults_of_a_group_end_here() -> None:
    events: list[Event] = []
    stop = KeyboardInterrupt()
    group = BaseExceptionGroup("", [ValueError(), BaseExceptionGroup("", [stop, KeyError()])])
    with (
        pytest.RaisesGroup(pytest.RaisesGroup(KeyboardInterrupt)),
        contained(events.append, "question"),
    ):
        raise group
    fault = only(events)
    assert fault.error == "ValueError"
    assert "KeyError: KeyError" in fault.traceback


async def test_a_cancellation_passes_through_a_group_with_a_fault() -> None:
    """The session ends while a connection fails: the one is recorded, the other goes on."""
    events: list[Event] = []

    async def fails_when_cancelled() -> None:
        try:
            await trio.sleep_forever()
        finally:
            fail(KeyError())

    went_on = False
    with trio.CancelScope() as scope:
        scope.cancel()
        with contained(events.append, "connection"):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fails_when_cancelled)
                await trio.sleep_forever()
        went_on = True
    assert not went_on
    assert scope.cancelled_caught
    assert only(events).error == "KeyError"


def test_what_led_to_a_fault_is_told_before_it() -> None:
    events: list[Event] = []
    with contained(events.append, "question"):
        try:
            fail(KeyError())
        except KeyError as error:
            raise ValueError from error
    told = only(events).traceback
    assert told.index("KeyError: KeyError") < told.index("ValueError: ValueError")


def test_a_traceback_is_bounded_and_its_end_is_kept() -> None:
    events: list[Event] = []

    def deep(depth: int) -> None:
        if depth:
            deep(depth - 1)
        raise ValueError

    with contained(events.append, "question"):
        deep(200)
    note(events.append, "question", ExceptionGroup("", [ValueError()] * 5))
    one, group = events
    assert isinstance(one, Fault)
    assert isinstance(group, Fault)
    assert len(one.traceback) == LONGEST
    assert one.traceback.endswith("\nValueError: ValueError")
    assert group.traceback.splitlines() == ["ValueError: ValueError"] * 3 + ["and others"]


def test_a_record_that_fails_makes_no_second_fault() -> None:
    def record(_event: Event) -> None:
        raise OSError(errno.ENOSPC, "full")

    with contained(record, "question") as attempt:
        fail(KeyError())
    assert attempt.failed


class Service:
    """Fails so many times, each after so many seconds, and then runs on."""

    def __init__(self, failures: int, after: float = 0.0) -> None:
        self.left = failures
        self.after = after
        self.starts: list[float] = []

    async def __call__(self) -> None:
        self.starts.append(trio.current_time())
        await trio.sleep(self.after)
        if not self.left:
            await trio.sleep_forever()
        self.left -= 1
        raise OSError(errno.EIO, os.strerror(errno.EIO))


async def run(service: Service, seconds: float) -> list[Event]:
    events: list[Event] = []
    with trio.move_on_after(seconds):
        await kept_running(events.append, "listener", service)
    return events


async def test_a_service_that_fails_is_started_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    service = Service(3)
    events = await run(service, WITHIN)
    assert [event.where for event in events if isinstance(event, Fault)] == ["listener"] * 3
    first, *others = service.starts
    assert [at - first for at in others] == [0.25, 1.25, 5.25]
    assert len(events) == 3


async def test_one_that_fails_on_and_on_rests_and_says_so(
    autojump_clock: trio.testing.MockClock,
) -> None:
    service = Service(1000)
    events = await run(service, 24 * 3600)
    rests = [event for event in events if isinstance(event, ServiceDown)]
    assert [rest.seconds for rest in rests[:3]] == [WITHIN, 2 * WITHIN, 4 * WITHIN]
    assert rests[-1].seconds == LONGEST_REST
    assert {rest.failures for rest in rests} == {len(PAUSES) + 1}
    assert len(events) < 200


async def test_failures_far_apart_are_started_again_at_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    service = Service(10, after=2 * WITHIN)
    events = await run(service, 30 * WITHIN)
    assert not [event for event in events if isinstance(event, ServiceDown)]
    assert len(service.starts) == 11


async def test_a_service_that_has_ended_by_itself_is_not() -> None:
    async def done() -> None:
        await trio.lowlevel.checkpoint()

    events: list[Event] = []
    await kept_running(events.append, "listener", done)
    assert events == []
