"""`keepline proxy`: serves programs that are started elsewhere, until it is told to end."""

import contextlib
import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Final

import msgspec
import trio

from relay import flags, server, session, startup
from relay.addresses import MAX_PORT
from relay.barrier import kept_running
from relay.config import SESSION_VARIABLE, Settings
from relay.gateway.setup import prepare as gateway
from relay.host.interfaces import require_ipv4
from relay.host.resolvers import read_resolv_conf
from relay.inbound.proxy.place import PlaceError, parse_port
from relay.printing import warn, write
from relay.proxy import entrance, variables
from relay.proxy.entrance import Entrance
from relay.record import opening, writing
from relay.record.events import SessionEnded
from relay.record.flightlog import FlightLog

_MIB: Final = 1 << 20
_PROGRAM: Final = "proxy"
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_DESCRIPTION: Final = (
    "A proxy on 127.0.0.1 for programs that read HTTPS_PROXY and the like: CONNECT, HTTP and SOCKS5"
    " at one port. It prints the variables that lead to it, NAME=VALUE, and serves until SIGTERM or"
    " Ctrl-C. Programs that ignore proxies go past it."
)


def main(arguments: Sequence[str]) -> int:
    """Serve until a signal asks to end; return the exit status."""
    parser = flags.Parser(prog="keepline proxy", description=_DESCRIPTION)
    parser.add_argument(
        "--port", default=None, help=f"on 127.0.0.1, 1 to {MAX_PORT} (one that is free)"
    )
    parser.add_argument(
        "--open", action="store_true", help="serve every user of this host, without a token"
    )
    flags.add_settings(parser)
    parsed = parser.parse_args(arguments)
    port = 0
    if parsed.port is not None:
        try:
            port = parse_port(parsed.port)
        except PlaceError:
            parser.error(f"--port: {parsed.port!r} is no number from 1 to {MAX_PORT}")
    sources = flags.sources(parsed)
    serve(sources.settings(), sources, port, is_open=parsed.open)
    return 0


def serve(settings: Settings, sources: flags.config.Sources, port: int, *, is_open: bool) -> None:
    """Serve until a signal asks to end; raises KeeplineError."""
    settings = _of_proxy(settings)
    entrance.require_possible(settings)
    require_ipv4()
    read_resolv_conf(settings.nameservers)
    name, bundle = session.named()
    out = session.way_out_of(settings, warn)
    with ExitStack() as opened:
        door = opened.enter_context(entrance.opened(port, is_open=is_open))
        door.require_other(out)
        prepared = opened.enter_context(gateway.opened(settings, (), bundle, warn, door.place))
        log = opened.enter_context(opening.opened(name, settings.log_limit * _MIB, warn))
        startup.seal(gateway=True, proxy=out is not None)
        session.require_unreadable()
        ports = door.host_ports(settings)
        session.begin(log, session.started(name, _PROGRAM, settings, "proxy", prepared, out), ports)
        relay = server.Relay(
            settings, door.ways_in(prepared), log.record, prepared, sources, ports, out
        )
        added = {SESSION_VARIABLE: name, **prepared.environment}
        notes = trio.run(_serve, relay, log, partial(_announce, door, settings, added))
    session.tell_end(log, name, warn, 0, notes)


def _of_proxy(settings: Settings) -> Settings:
    """Return settings as they hold here: a gateway is asked for by its base URL, if by anything."""
    mode = "http" if settings.gateway == "auto" else settings.gateway
    return msgspec.structs.replace(settings, intercept="proxy", gateway=mode)


def _announce(door: Entrance, settings: Settings, added: dict[str, str]) -> None:
    """Say what does not hold, and print the variables that lead here."""
    warn(entrance.told(door, settings))
    told = variables.set_by(door.port, door.secret) | added
    write("".join(f"{name}={value}\n" for name, value in told.items()))


async def _serve(relay: "server.Relay", log: FlightLog, announce: partial[None]) -> list[str]:
    """Relay until a signal asks to end; return what is to be said then."""
    startup.end()
    began = trio.current_time()
    with trio.open_signal_receiver(*_ENDING) as signals:
        announce()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                kept_running, log.record, "writer of the log", partial(writing.write_log, log)
            )
            nursery.start_soon(kept_running, log.record, "relay", relay.serve)
            await anext(aiter(signals))
            with trio.CancelScope() as scope:
                nursery.start_soon(_cancelled_by_next, signals, scope)
                await relay.finish()
            nursery.cancel_scope.cancel()
    seconds = trio.current_time() - began
    log.record(SessionEnded(status=0, connections=relay.standing.opened, seconds=seconds))
    return relay.tightening.notes


async def _cancelled_by_next(signals: object, scope: trio.CancelScope) -> None:
    """End the delivery of last words when a second signal comes."""
    with contextlib.suppress(StopAsyncIteration):
        await anext(aiter(signals))  # type: ignore[call-overload]
        scope.cancel()
