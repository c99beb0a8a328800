"""The relay of one session: listeners, name server and flight log in one nursery."""

import errno
import resource
import socket
from typing import Final

import trio

from netns.handoff import Listeners
from relay.config import Settings
from relay.dns.service import NameService
from relay.gateway.setup.prepare import Prepared
from relay.host.network import SleepDetector, Weather, boottime_lead, watch
from relay.outbound.dialer import Dialer
from relay.record.flightlog import FlightLog
from relay.sockets import KeepAlive
from relay.tcp.connection import Connections, Gateway
from relay.tcp.watch.liveness import Liveness

_OUT_OF_RESOURCES: Final = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS}
_PAUSE: Final = 0.1
"""Seconds to wait when the host has no descriptor or memory left for another connection."""

_DRAIN: Final = 10.0
"""Seconds after the command's end for what it sent last to be delivered."""

_DNS_BUFFER: Final = 1 << 20
"""Bytes of waiting questions, if net.core.rmem_max allows: a lost one costs the program 30 s."""

_FLUSH_AFTER: Final = 0.2
"""Seconds for which events are gathered before they are written."""


async def serve(
    settings: Settings,
    listeners: Listeners,
    log: FlightLog,
    prepared: Prepared | None = None,
    *,
    task_status: trio.TaskStatus[Connections],
) -> None:
    """Relay until cancelled; started with the session's connections. `prepared` is the gateway's."""
    policy = settings.policy()
    names = NameService(settings, policy, log.record)
    weather = Weather()
    keepalive = KeepAlive(
        idle=settings.keepidle,
        interval=settings.keepintvl,
        count=settings.keepcnt,
        user_timeout=settings.user_timeout,
        rto_max=settings.rto_max,
    )
    _allow_descriptors()
    listeners.dns_udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _DNS_BUFFER)
    async with trio.open_nursery() as nursery:
        connections = Connections(
            intercept=listeners.intercept,
            policy=policy,
            naming=names.names,
            dialer=Dialer(names.lookup, keepalive, weather, settings.patience),
            record=log.record,
            nursery=nursery,
        )
        if prepared is not None:
            connections.gateway = _gateway(prepared, settings, connections)

        liveness = Liveness(
            connections.lines, keepalive, weather, log.record, SleepDetector(boottime_lead)
        )

        def changed(addresses: frozenset[str]) -> None:
            connections.drop_vanished(addresses)
            liveness.network_changed()
            weather.changed()

        nursery.start_soon(watch, changed)
        nursery.start_soon(liveness.watch)
        nursery.start_soon(names.serve, listeners.dns_udp, listeners.dns_tcp)
        for listener in listeners.tcp:
            nursery.start_soon(accept, listener, connections)
        task_status.started(connections)


def _gateway(prepared: Prepared, settings: Settings, connections: Connections) -> Gateway:
    """Make the gateway of the session."""
    from relay.gateway import gateway  # noqa: PLC0415 - most sessions have none

    return gateway.Gateway(
        prepared,
        silence=settings.stream_silence,
        patience=settings.patience,
        connections=connections,
    )


def _allow_descriptors() -> None:
    """Take as many descriptors as may be had: a connection needs two, its program one.

    The command was started before and keeps its own limit.
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def accept(listener: socket.socket, connections: Connections) -> None:
    """Accept in batches until EAGAIN, forever."""
    while True:
        try:
            accept_waiting(listener, connections)
        except OSError as error:
            if error.errno not in _OUT_OF_RESOURCES:
                raise
            await trio.sleep(_PAUSE)
        else:
            await trio.lowlevel.wait_readable(listener)


def accept_waiting(listener: socket.socket, connections: Connections) -> None:
    """Start relaying every connection in the backlog; raises OSError if out of resources."""
    while True:
        try:
            program, _address = listener.accept()
        except BlockingIOError:
            return
        except ConnectionAbortedError:
            continue  # reset while it waited in the backlog
        program.setblocking(False)  # noqa: FBT003 - positional only
        connections.start(program)


async def finish(listeners: Listeners, connections: Connections) -> None:
    """Relay what the command that has ended said last, for a bounded time."""
    for listener in listeners.tcp:
        accept_waiting(listener, connections)
    with trio.move_on_after(_DRAIN):
        await connections.finish(listeners.tcp_table.readall().decode())


async def write_log(log: FlightLog) -> None:
    """Write events in batches, soon after the first of each; no timer runs while none come."""
    woken = trio.Event()

    def wake() -> None:
        woken.set()

    log.wake = wake
    while True:
        await woken.wait()
        woken = trio.Event()
        await trio.sleep(_FLUSH_AFTER)
        log.flush()
