"""One scenario with one fault in it, and whether the session and all other connections go on."""

import errno
import math
import os
import signal
import tempfile
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import trio
import trio.testing

from relay.descriptors import SPARE
from relay.record.events import Event
from relay.record.flightlog import FlightLog
from relay.tcp.transfer import pipes
from tests.support.faults.injector import INJECTOR, Site
from tests.support.faults.scenarios import MAY_COME, Scenario
from tests.support.faults.session import Session
from tests.support.faults.sessions import whole_session
from tests.support.faults.world import ECHO, SECOND, World, gateway
from tests.support.internet.servers.api.server import Api
from tests.support.pace import patience

LIMIT: Final = 200.0
"""Seconds, on the relay's clock, for a scenario: whoever still waits then waits for ever."""

_RETRANSMITTED: Final = 4.0
"""Seconds, real ones, in which the kernel has sent a packet again: its own timers do not jump."""

_LATEST: Final = 12
"""Events that are shown of a session in which somebody waits for ever."""

_HANGS: Final = 20.0
"""Real seconds, of a quiet machine, after which the relay does not wait but runs in circles."""

_AGAIN: Final = 1.0
"""Seconds, real ones, after which it is stopped again, if the first time found no way out."""

_JUMP: Final = 0.001
"""Seconds in which nothing happens after which time jumps to the next thing that is due."""


class _EndlessError(BaseException):
    """A run does not end; no Exception, which the relay would contain."""


class WaitsError(Exception):
    """Somebody waits for ever."""


@dataclass(frozen=True)
class Fault:
    """One call that fails."""

    site: Site
    number: int
    times: int
    """How often it fails, one time after the other."""

    def __str__(self) -> str:
        return f"{self.site}: {errno.errorcode[self.number]} x {self.times}"


Said: TypeAlias = frozenset[tuple[str, ...]]


@dataclass
class Outcome:
    """What became of a run."""

    scenario: str
    fault: Fault | None
    hits: int = 0
    """How many calls have failed."""
    wrong: str = ""
    """Why the session, or another connection, has not gone on; empty if it has."""
    met: str = ""
    """What a program met that it does not meet without the fault."""
    said: Said = frozenset()
    """What the record says of it."""
    calls: frozenset[Site] = frozenset()
    """Where the kernel was called until the scenario was over."""


def run(world: World, scenario: Scenario, fault: Fault | None = None) -> Outcome:
    """Run a scenario in a session of its own."""
    outcome = Outcome(scenario.name, fault)
    INJECTOR.made.clear()
    INJECTOR.disarm()
    SPARE.keep(0)  # each session takes its own
    if fault is not None:
        INJECTOR.arm(fault.site, fault.number, fault.times)
    signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, patience(_HANGS), _AGAIN)
    try:
        if scenario.do is None:
            whole_session(world)
            outcome.calls = frozenset(INJECTOR.made)
            outcome.hits = fault.times - INJECTOR.left if fault is not None else 0
            return outcome
        clock = trio.testing.MockClock(autojump_threshold=_JUMP)
        trio.run(_run, world, scenario, outcome, clock=clock)
    except BaseException as error:  # whatever ends the relay is what is looked for
        if isinstance(error, KeyboardInterrupt):
            raise
        outcome.wrong = "".join(traceback.format_exception(error))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        INJECTOR.is_on = False
    return outcome


def _stop(_number: int, _frame: object) -> None:
    raise _EndlessError("it waits, or runs in circles")


async def _run(world: World, scenario: Scenario, outcome: Outcome) -> None:
    namespace = world.redirect if scenario.way == "redirect" else world.tproxy
    api = Api()
    with tempfile.TemporaryDirectory(dir=world.folder) as folder:
        log = FlightLog(Path(folder, "log.jsonl"), clock=lambda: 0.0, limit=1 << 20)
        prepared = gateway() if scenario.gateway else None
        async with trio.open_nursery() as players:
            await world.serve(players, api)
            try:
                async with trio.open_nursery() as nursery:
                    session = Session(
                        world,
                        namespace,
                        log,
                        nursery,
                        prepared,
                        api,
                        scenario.allowlist,
                        scenario.proxied,
                        scenario.published,
                    )
                    await _session(session, scenario, outcome)
                    nursery.cancel_scope.cancel()
            finally:
                INJECTOR.is_on = False
                outcome.said = _said(session.events)
                session.close()
                namespace.empty()
                log.close()
                _forget_pipes()
            players.cancel_scope.cancel()


async def _session(session: Session, scenario: Scenario, outcome: Outcome) -> None:
    fault = outcome.fault
    INJECTOR.is_on = True
    session.start()
    await trio.testing.wait_all_tasks_blocked()
    INJECTOR.spares = True
    control = await session.connect(SECOND, ECHO)
    await session.echoed(control)
    INJECTOR.spares = False
    for _ in range(fault.times if fault is not None and not scenario.ends else 1):
        async with _limited(session):
            await _do(scenario, session, outcome)
        if not INJECTOR.left:
            break
    if fault is not None:
        outcome.hits = fault.times - INJECTOR.left
    outcome.calls = frozenset(INJECTOR.made)
    INJECTOR.disarm()
    async with _limited(session):
        if not scenario.ends:
            await session.check(control)
            await session.relay.finish()
    await control.aclose()


@contextmanager
def _real_time() -> Iterator[None]:
    """Let time pass as it does."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, trio.testing.MockClock)
    clock.autojump_threshold, clock.rate = math.inf, 1.0
    try:
        yield
    finally:
        clock.autojump_threshold, clock.rate = _JUMP, 0.0


@asynccontextmanager
async def _limited(session: Session) -> AsyncIterator[None]:
    """Raise WaitsError if what is inside waits for LIMIT, and _RETRANSMITTED more."""

    tree: list[str] = []

    async def watch(scope: trio.CancelScope) -> None:
        await trio.sleep(LIMIT)
        with _real_time():
            await trio.sleep(_RETRANSMITTED)
        tree.extend(_waiting(trio.lowlevel.current_root_task()))
        tree.extend(map(str, session.events[-_LATEST:]))
        scope.cancel()

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch, scope)
            yield
            nursery.cancel_scope.cancel()
    if scope.cancelled_caught:
        raise WaitsError("\n".join(tree))


async def _do(scenario: Scenario, session: Session, outcome: Outcome) -> None:
    """Do it; only where a call fails may a program meet what it would not meet else."""
    assert scenario.do is not None
    try:
        await scenario.do(session)
    except* MAY_COME as group:
        if outcome.fault is None:
            raise
        outcome.met = repr(group.exceptions)


def _forget_pipes() -> None:
    """Close the pipes that are kept for reuse: the next session is to make its own."""
    make = os.pipe2
    os.pipe2 = _no_pipe
    try:
        while (pipe := pipes.borrow()) is not None:
            pipe.inside = -1
            pipe.release()
    finally:
        os.pipe2 = make


def _no_pipe(_flags: int) -> tuple[int, int]:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def _waiting(task: trio.lowlevel.Task | None) -> Iterator[str]:
    """Yield the relay's tasks, each with the lines at which it waits."""
    if task is None:
        return
    lines = [f"{frame.f_code.co_filename}:{line}" for frame, line in task.iter_await_frames()]
    if task.name.startswith("relay."):
        yield f"{task.name}: {' '.join(line for line in lines if '/relay/' in line)}"
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield from _waiting(child)


def _said(events: list[Event]) -> Said:
    """Return what the record says, without numbers and times."""
    return frozenset(
        (
            type(event).__name__,
            *(str(getattr(event, name, "")) for name in ("how", "kind", "cause")),
        )
        for event in events
    )
