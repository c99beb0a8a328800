"""`keepline proxy`: serves programs that are started elsewhere, until it is told to end."""

import signal
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

import msgspec
import trio

from relay import flags, recorded, relaying, server, startup
from relay.addresses import MAX_PORT
from relay.command import signals
from relay.config import SESSION_VARIABLE, Settings, Sources
from relay.gateway.setup import prepare as gateway
from relay.host.interfaces import require_ipv4
from relay.host.resolvers import read_resolv_conf
from relay.inbound.proxy.place import PlaceError, parse_port
from relay.printing import warn, write
from relay.proxy import entrance, variables
from relay.proxy.serving import hidden, until_told

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
    parser.add_argument("--port", help=f"on 127.0.0.1, 1 to {MAX_PORT} (one that is free)")
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
    serve(flags.sources(parsed), port, is_open=parsed.open)
    return 0


def serve(sources: Sources, port: int, *, is_open: bool) -> None:
    """Serve until a signal asks to end; raises KeeplineError."""
    settings = _of_proxy(sources.settings())
    entrance.require_possible(settings)
    require_ipv4()
    read_resolv_conf(settings.nameservers)
    name, bundle = recorded.new_name()
    out = relaying.found_way_out(settings, warn)
    with ExitStack() as opened:
        door = opened.enter_context(entrance.opened(port, is_open=is_open))
        door.require_other(out)
        prepared = opened.enter_context(gateway.opened(settings, (), bundle, warn, door.place))
        log = opened.enter_context(recorded.opened(name, settings, warn))
        startup.seal(gateway=True, proxy=out is not None)
        hidden()
        ports = door.host_ports(settings)
        first = recorded.started(settings, prepared, out, name, _PROGRAM, "proxy")
        recorded.begin(log, first, ports)
        warn(entrance.told(door, settings))
        added = {SESSION_VARIABLE: name, **prepared.environment}
        told = variables.set_by(door.port, door.secret) | added
        write("".join(f"{variable}={value}\n" for variable, value in told.items()))
        relay = server.Relay(
            settings, door.ways_in(prepared), log.record, prepared, sources, ports, out
        )
        notes = trio.run(until_told, relay, log, *signals.heeded(_ENDING))
    recorded.tell_end(log, name, warn, 0, notes)


def _of_proxy(settings: Settings) -> Settings:
    """Return settings as they hold here: the gateway is reached by its base URL, if by anything."""
    mode = "http" if settings.gateway == "auto" else settings.gateway
    return msgspec.structs.replace(settings, intercept="proxy", gateway=mode)
