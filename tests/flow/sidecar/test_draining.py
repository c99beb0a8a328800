"""SIGTERM drains a pod's relay: for as long as somebody needs it, and no longer than is allowed."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing

import pytest
import trio
import trio.testing

from relay.command import signals
from relay.command.signals import Signals
from relay.record.events import Event
from relay.sidecar import draining
from relay.sidecar.draining import QUIET, Ending
from tests.support.pace import patience


@pytest.fixture
def held() -> Iterator[Signals]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with closing(signals.hold()) as made:
        yield made
        made.waiting()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Draining:
    """An ending, and the connections that it waits for."""

    def __init__(self, held: Signals, nursery: trio.Nursery, seconds: float = 25) -> None:
        self.live, self.ended = 0, 0.0
        self.events: list[Event] = []
        self.ending = Ending(held, self.events.append)
        self.over = trio.Event()
        nursery.start_soon(self.ending.watch)
        nursery.start_soon(self._wait, seconds)

    async def _wait(self, seconds: float) -> None:
        await self.ending.wait(seconds, lambda: self.live)
        self.ended = trio.current_time()
        self.over.set()

    async def send(self, number: int) -> None:
        """Send this thread a signal, and let it be read: that is real, and time is not.

        Other threads of the process do not hold it back.
        """
        signal.raise_signal(number)
        await trio.testing.wait_all_tasks_blocked(0.01)


async def test_without_a_connection_it_ends_soon(
    held: Signals, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    autojump_clock.autojump_threshold = float("inf")
    draining_ = Draining(held, nursery)
    await draining_.send(signal.SIGHUP)
    assert not draining_.ending.has_begun.is_set()
    await draining_.send(signal.SIGTERM)
    assert draining_.ending.has_begun.is_set()
    autojump_clock.autojump_threshold = 0
    began = trio.current_time()
    await draining_.over.wait()
    assert draining_.ended - began == pytest.approx(QUIET, abs=0.11)
    assert not draining_.ending.is_at_once.is_set()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("seconds", [0.0, 3.0, 25.0])
async def test_connections_go_on_for_as_long_as_is_allowed(
    held: Signals,
    nursery: trio.Nursery,
    autojump_clock: trio.testing.MockClock,
    seconds: float,
) -> None:
    autojump_clock.autojump_threshold = float("inf")
    draining_ = Draining(held, nursery, seconds)
    draining_.live = 1
    await draining_.send(signal.SIGINT)
    autojump_clock.autojump_threshold = 0
    began = trio.current_time()
    await draining_.over.wait()
    assert draining_.ended - began == pytest.approx(seconds, abs=0.11)
    nursery.cancel_scope.cancel()


async def test_a_new_connection_while_it_drains_is_waited_for(
    held: Signals, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    autojump_clock.autojump_threshold = float("inf")
    draining_ = Draining(held, nursery)
    await draining_.send(signal.SIGTERM)
    autojump_clock.autojump_threshold = 0
    began = trio.current_time()
    await trio.sleep(QUIET / 2)
    draining_.live = 1
    await trio.sleep(5)
    assert not draining_.over.is_set()
    draining_.live = 0
    await draining_.over.wait()
    assert draining_.ended - began == pytest.approx(QUIET / 2 + 5 + QUIET, abs=0.21)
    nursery.cancel_scope.cancel()


async def test_a_second_signal_ends_it_at_once(
    held: Signals, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    autojump_clock.autojump_threshold = float("inf")
    draining_ = Draining(held, nursery)
    draining_.live = 1
    await draining_.send(signal.SIGTERM)
    assert not draining_.over.is_set()
    await draining_.send(signal.SIGTERM)
    await draining_.over.wait()
    assert draining_.ending.is_at_once.is_set()
    nursery.cancel_scope.cancel()


async def test_a_second_signal_breaks_the_last_work_off_too(
    held: Signals, nursery: trio.Nursery
) -> None:
    ending = Ending(held, lambda _event: None)
    nursery.start_soon(ending.watch)
    with trio.fail_after(patience(5)):
        await ending.unless_at_once(trio.lowlevel.checkpoint)
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
            await trio.testing.wait_all_tasks_blocked(0.01)
        await ending.unless_at_once(trio.sleep_forever)
    nursery.cancel_scope.cancel()


async def test_what_its_caller_has_it_ignore_does_not_end_it(
    held: Signals, nursery: trio.Nursery
) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ending = Ending(held, lambda _event: None)
    finally:
        signal.signal(signal.SIGINT, before)
    nursery.start_soon(ending.watch)
    signal.raise_signal(signal.SIGINT)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert not ending.has_begun.is_set()
    nursery.cancel_scope.cancel()


async def test_as_the_first_process_it_reaps(
    held: Signals, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    reaped: list[int] = []
    monkeypatch.setattr(draining, "reap", lambda: reaped.append(1))
    draining_ = Draining(held, nursery)
    await draining_.send(signal.SIGCHLD)
    assert not reaped
    monkeypatch.setattr(os, "getpid", lambda: 1)
    signal.raise_signal(signal.SIGCHLD)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert reaped
    monkeypatch.undo()
    nursery.cancel_scope.cancel()


def test_all_that_have_ended_are_reaped() -> None:
    children = [os.posix_spawn("/bin/true", ["true"], {}) for _ in range(3)]
    for child in children:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    draining.reap()
    for child in children:
        with pytest.raises(ChildProcessError):
            os.waitpid(child, 0)
    running = os.posix_spawn("/bin/sleep", ["sleep", "100"], {})
    draining.reap()
    os.kill(running, signal.SIGKILL)
    os.waitpid(running, 0)
