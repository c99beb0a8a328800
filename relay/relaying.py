"""What every session does alike: its way out, its services, its last words and its end."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import trio

from netns.sandbox import Ended
from relay import server
from relay.barrier import kept_running
from relay.command import waiting
from relay.command.passing import Passing
from relay.config import Settings, way_out
from relay.gateway.setup import trust
from relay.record import writing
from relay.record.events import SessionEnded
from relay.record.flightlog import FlightLog

_SIGNALLED: Final = 128
"""A status above it tells by which signal the command ended, or a program that it waited for."""

_IN_HASTE: Final = 0.1
"""Seconds for last words where a signal ended the command."""


def found_way_out(settings: Settings, warn: Callable[[str], None]) -> "way_out.WayOut | None":
    """Return the way out through a proxy; most have none, and load nothing for it."""
    if settings.proxy == "auto" and not any(map(_is_of_proxy, os.environ)):
        return None
    out = way_out.find(settings, os.environ, warn)
    if out is None or not out.needs_context:
        return out
    return replace(out, context=trust.client_context(os.environ, alpn=("http/1.1",), warn=warn))


def _is_of_proxy(variable: str) -> bool:
    return variable.lower().endswith("_proxy")


def start(nursery: "trio.Nursery", relay: "server.Relay", log: FlightLog) -> None:
    """Relay and record until the nursery is cancelled."""
    writer = partial(writing.write_log, log)
    nursery.start_soon(kept_running, log.record, "writer of the log", writer)
    nursery.start_soon(kept_running, log.record, "relay", relay.serve)


async def deliver_last_words(relay: "server.Relay", passing: Passing, ended: Ended) -> None:
    """Deliver what the command sent last; no longer if a signal ended it, or asks us to end."""
    with trio.CancelScope() as scope:
        if _SIGNALLED < ended.status <= _SIGNALLED + signal.NSIG:
            scope.deadline = trio.current_time() + _IN_HASTE
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiting.cancelled_by, passing, scope, relay.record)
            await relay.finish()
            nursery.cancel_scope.cancel()


def end(relay: "server.Relay", status: int, began: float) -> list[str]:
    """Record the end of what began at a time of trio's clock; return what is to be said then."""
    seconds = trio.current_time() - began
    relay.record(SessionEnded(status=status, connections=relay.standing.opened, seconds=seconds))
    return [
        *relay.tightening.notes,
        *([relay.publishing.note] if relay.publishing and relay.publishing.note else []),
    ]
