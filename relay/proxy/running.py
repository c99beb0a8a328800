"""`keepline run --intercept=proxy`: the command is told of a proxy, and is otherwise as without."""

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing

import trio

from netns.sandbox import Ended, adopt_orphans
from relay import recorded, relaying, server, startup
from relay.command import outside, signals
from relay.command.passing import Passing
from relay.command.witness import Witness
from relay.config import SESSION_VARIABLE, Sources
from relay.gateway.setup import prepare as gateway
from relay.host.interfaces import require_ipv4
from relay.host.resolvers import read_resolv_conf
from relay.proxy import entrance, variables
from relay.proxy.process import Process
from relay.proxy.serving import hidden, until_end


def run(sources: Sources, command: Sequence[str], warn: Callable[[str], None]) -> Ended:
    """Run the command, relay for what it asks the proxy for, and return how it ended.

    Raises KeeplineError, before the command has started, if anything it needs is missing.
    """
    settings = sources.settings()
    entrance.require_possible(settings)
    require_ipv4()
    read_resolv_conf(settings.nameservers)
    name, bundle = recorded.new_name()
    out = relaying.found_way_out(settings, warn)
    witness = Witness()
    with ExitStack() as opened:
        opened.callback(witness.end)
        process = Process(command)
        passing = Passing(process, opened.enter_context(closing(signals.hold())), witness)
        if settings.linger:
            adopt_orphans()
        door = opened.enter_context(entrance.opened(0, is_open=False))
        prepared = opened.enter_context(gateway.opened(settings, command, bundle, warn, door.place))
        log = opened.enter_context(recorded.opened(name, settings, warn))
        startup.seal(gateway=True, proxy=out is not None)
        hidden()
        warn(entrance.told(door, settings))
        ports = door.host_ports(settings)
        first = recorded.started(settings, prepared, out, name, command[0], "proxy")
        recorded.begin(log, first, ports)
        outside.tell(command, settings, log.record, warn)
        proxied = variables.changes(door.port, door.secret, os.environ)
        process.release({SESSION_VARIABLE: name, **proxied, **prepared.environment})
        relay = server.Relay(
            settings, door.ways_in(prepared), log.record, prepared, sources, ports, out
        )
        ended, notes = trio.run(until_end, relay, passing, log)
    recorded.tell_end(log, name, warn, ended.status, notes)
    return ended
