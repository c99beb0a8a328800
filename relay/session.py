"""One command's session: the sandbox, the relay and the record of what happened."""

import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import trio

from netns.left import left_behind
from netns.mounts import NSSWITCH_CONF, RESOLV_CONF, without_bypasses
from netns.plan import COMMON_PORTS, OWN_ADDRESS, WAYS, Plan
from netns.sandbox import Ended, Listeners, Sandbox, Stopped, adopt_orphans, orphans_left
from relay import __version__, server, startup
from relay.barrier import Record, contained, kept_running
from relay.config import SESSION_VARIABLE, Settings
from relay.gateway.setup import prepare as gateway
from relay.host.interfaces import require_ipv4
from relay.host.resolv_conf import for_namespace
from relay.host.resolvers import read_resolv_conf
from relay.record import story
from relay.record.events import FORMAT, LeftBehind, SessionEnded, SessionStarted
from relay.record.flightlog import FlightLog, prune, read, sessions_folder

_PASSED_ON: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_LEFT_TO_COMMAND: Final = (signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP)
"""The terminal sends them to the command too, which decides what they mean."""

_ENDING: Final = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)
"""They end the delivery of last words."""

_SIGNALLED: Final = 128
"""A status above it tells by which signal the command ended, or a program that it waited for."""

_IN_HASTE: Final = 0.1
"""Seconds for last words where a signal ended the command."""

_JUST_ENDING: Final = (0.02, 0.08)
"""Seconds between the looks at processes that may be about to end."""

_NAMED: Final = 3
"""Processes left behind that are named at the end."""

_MIB: Final = 1 << 20

_LOOK_AGAIN: Final = 0.1
"""Seconds before the command is looked at again where that has failed."""


def run(
    sandbox: Sandbox, settings: Settings, command: Sequence[str], warn: Callable[[str], None]
) -> int:
    """Run the command in its namespace, relay for it, and return its exit status.

    The sandbox has been started while the settings were read. Raises KeeplineError, before the
    command has started, if anything it needs is missing.
    """
    require_ipv4()
    resolv_conf = read_resolv_conf(settings.nameservers)
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    bundle = sessions_folder(os.environ) / f"{name}.pem"
    with gateway.opened(settings, command, bundle, warn) as prepared:
        environment = {SESSION_VARIABLE: name} | (prepared.environment if prepared else {})
        sandbox.build(plan(settings, command, resolv_conf, environment, prepared))
        _leave_signals_to_command()
        if settings.linger:
            adopt_orphans()
        if sandbox.withheld:
            what = "; ".join(sandbox.withheld)
            warn(f"descriptors that lead past the relay are not passed on: {what}")
        with startup.without_library_search():  # while the child builds the namespace
            startup.load(trio)
        listeners = sandbox.listeners()
        if listeners.intercept == "ports" and listeners.notes:
            caught = ", ".join(map(str, settings.ports or COMMON_PORTS))
            warn(f"{'; '.join(listeners.notes)}: only these ports can be reached: {caught}")
        log = _open_log(name, settings, warn)
        try:
            log.record(_started(name, command, settings, listeners, prepared))
            log.flush()  # nobody is woken for it yet
            startup.end()
            status, left = trio.run(_relay, settings, sandbox, listeners, log, prepared)
        finally:
            log.close()
    if left:
        warn(_tell_left(left))
    _tell_end(log, name, warn)
    return status


def _tell_end(log: FlightLog, name: str, warn: Callable[[str], None]) -> None:
    """Say what there was to survive, in one line; whatever fails here changes no status."""
    summary = ""
    with contextlib.suppress(Exception):
        if log.has_losses and log.path is not None:
            summary = story.summary(story.losses(read(log.path)))
    if log.failure:
        summary = f"{summary} The record is not complete: {log.failure}.".lstrip()
    if summary:
        warn(f"{summary} See: keepline explain {name}")


def _tell_left(left: Sequence[str]) -> str:
    """Return which processes have lost their network, and what would have kept it."""
    more = f" and {len(left) - _NAMED} more" if len(left) > _NAMED else ""
    return (
        f"left behind, without a network from now on: {', '.join(left[:_NAMED])}{more};"
        " to stay until they have ended: keepline run --linger"
    )


def _leave_signals_to_command() -> None:
    """Ignore what the terminal sends to the command too; hold back what will be passed on."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    for number in _LEFT_TO_COMMAND:
        signal.signal(number, signal.SIG_IGN)


def _started(
    name: str,
    command: Sequence[str],
    settings: Settings,
    listeners: Listeners,
    prepared: gateway.Prepared | None,
) -> SessionStarted:
    return SessionStarted(
        session=name,
        version=__version__,
        program=command[0],
        pid=os.getpid(),
        uid=os.getuid(),
        intercept=listeners.intercept,
        dns=settings.dns,
        gateway=gateway.describe(prepared.chosen) if prepared is not None else "",
        format=FORMAT,
    )


def plan(
    settings: Settings,
    command: Sequence[str],
    resolv_conf: str,
    environment: dict[str, str],
    prepared: gateway.Prepared | None = None,
) -> Plan:
    """Return what the namespace is to look like."""
    files = {RESOLV_CONF: for_namespace(resolv_conf, OWN_ADDRESS)}
    with contextlib.suppress(OSError):  # not a glibc system
        files[NSSWITCH_CONF] = without_bypasses(Path(NSSWITCH_CONF).read_text())
    return Plan(
        command,
        files,
        environment,
        WAYS if settings.intercept == "auto" else (settings.intercept,),
        ports=settings.ports or COMMON_PORTS,
        loopback_port=prepared.port if prepared is not None else None,
        connect_seconds=settings.patience,
    )


def _open_log(name: str, settings: Settings, warn: Callable[[str], None]) -> FlightLog:
    """Open the flight log; where that is impossible, warn and go on without one."""
    folder = sessions_folder(os.environ)
    try:
        log = FlightLog(folder / f"{name}.jsonl", clock=time.time, limit=settings.log_limit * _MIB)
    except OSError as error:
        warn(f"no flight log for this session: {folder}: {error.strerror}")
        return FlightLog(None, clock=time.time, limit=0)
    with contextlib.suppress(OSError):  # what stays takes room alone
        prune(folder)
    return log


async def _relay(
    settings: Settings,
    sandbox: Sandbox,
    listeners: Listeners,
    log: FlightLog,
    prepared: gateway.Prepared | None,
) -> tuple[int, list[str]]:
    """Relay until the command has ended, and deliver what it sent last.

    Return its status, and the processes that it has left behind.
    """
    started = trio.current_time()
    with trio.open_signal_receiver(signal.SIGCHLD, *_PASSED_ON) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
        relay = server.Relay(settings, listeners, log.record, prepared)
        async with trio.open_nursery() as nursery:
            writer = partial(server.write_log, log)
            nursery.start_soon(kept_running, log.record, "writer of the log", writer)
            nursery.start_soon(kept_running, log.record, "relay", relay.serve)
            status = await _command_end(sandbox, signals, log.record)
            if settings.linger:
                await _orphans_end(signals, log.record)
            await _deliver_last_words(relay, status)
            nursery.cancel_scope.cancel()
        left = await _left_behind(listeners, log.record)
    if left:
        log.record(LeftBehind(processes=left))
    seconds = trio.current_time() - started
    log.record(SessionEnded(status=status, connections=relay.standing.opened, seconds=seconds))
    return status, left


async def _left_behind(listeners: Listeners, record: Record) -> list[str]:
    """Return the processes that lose their network now, but for those that are just ending."""
    left: list[str] = []
    with contained(record, "look at the processes left"):
        for pause in (0, *_JUST_ENDING):
            await trio.sleep(pause)
            left = [str(process) for process in left_behind(listeners.dns_udp)]
            if not left:
                break
    return left


async def _deliver_last_words(relay: server.Relay, status: int) -> None:
    """Deliver what the command sent last; no longer if a signal ended it, or asks us to end."""
    signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    with trio.open_signal_receiver(*_ENDING) as signals, trio.CancelScope() as scope:
        if _SIGNALLED < status <= _SIGNALLED + signal.NSIG:
            scope.deadline = trio.current_time() + _IN_HASTE
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancelled_by, signals, scope)
            await relay.finish()
            nursery.cancel_scope.cancel()


async def _cancelled_by(signals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    await anext(signals)
    scope.cancel()


async def _command_end(sandbox: Sandbox, signals: AsyncIterator[int], record: Record) -> int:
    """Pass signals on, and stop with the command, until it has ended; return its status.

    After a fault, what became of the command is asked again: the signal that told of it may be the
    last one.
    """
    while True:
        news: Ended | Stopped | None = None
        with contained(record, "look at the command") as look:
            news = sandbox.poll()
        if look.failed:
            await trio.sleep(_LOOK_AGAIN)
            continue
        match news:
            case Ended(status):
                return status
            case Stopped():
                with contained(record, "stop"):
                    _stop_too(sandbox)
            case None:
                number = await anext(signals)
                with contained(record, "signal"):
                    if number != signal.SIGCHLD:
                        sandbox.signal(number)


def _stop_too(sandbox: Sandbox) -> None:
    """Let the shell see its job stopped; when it goes on, so does the command.

    Without a terminal no shell waits for that, and whoever stopped the command continues it.
    """
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return
    os.kill(os.getpid(), signal.SIGSTOP)
    if not sandbox.has_news():  # it has a group of its own, which the shell did not continue
        sandbox.signal(signal.SIGCONT)


async def _orphans_end(signals: AsyncIterator[int], record: Record) -> None:
    """Wait until no process of the namespace is left; TERM and the like end the wait."""
    while True:
        are_left = True
        with contained(record, "look at the processes left") as look:
            are_left = orphans_left()
        if look.failed:
            await trio.sleep(_LOOK_AGAIN)
        elif not are_left or await anext(signals) != signal.SIGCHLD:
            return
