"""One command's session: the sandbox, the relay and the record of what happened."""

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Final

import trio

from netns import syscalls
from netns.mounts import NSSWITCH_CONF, RESOLV_CONF, without_bypasses
from netns.plan import COMMON_PORTS, Plan
from netns.process.socket_maker import SocketMaker
from netns.sandbox import Ended, Listeners, Sandbox, adopt_orphans, is_first_process
from relay import namespace, recorded, relaying, server, startup
from relay.addresses import HOST_NAME, parse_pool
from relay.auto_ports import setup as auto_ports
from relay.command import left_behind, outside, signals, waiting
from relay.command.beside import Beside
from relay.command.passing import Passing
from relay.config import SESSION_VARIABLE, Settings, Sources, way_out
from relay.gateway.setup import prepare as gateway
from relay.host.interfaces import ATTACH, host_network, require_ipv4
from relay.host.resolv_conf import WAIT, for_namespace
from relay.host.resolvers import read_resolv_conf
from relay.host.ssh_config import checked_for_caller
from relay.publishing import on_host
from relay.record.events import LeftBehind
from relay.record.flightlog import FlightLog

_RES_OPTIONS: Final = "RES_OPTIONS"
"""A variable of glibc's resolver, which takes its options beside those of resolv.conf(5)."""


def run(
    sandbox: Sandbox,
    sources: Sources,
    command: Sequence[str],
    warn: Callable[[str], None],
    beside: Beside,
) -> Ended:
    """Run the command in its namespace, relay for it, and return how it ended.

    All processes have been started while the settings were read. Raises KeeplineError, before
    the command has started, if anything it needs is missing, and EndedEarlyError.
    """
    settings = sources.settings()
    _require_network(warn)
    resolv_conf = read_resolv_conf(settings.nameservers)
    name, bundle = recorded.new_name()
    out = relaying.found_way_out(settings, warn)
    with gateway.opened(settings, command, bundle, warn) as prepared, ExitStack() as opened:
        opened.callback(sandbox.end)
        added = {SESSION_VARIABLE: name, **prepared.environment, **_proxied(out)}
        ports, locks = auto_ports.prepared(settings, sandbox, warn, opened)
        planned = plan(settings, command, resolv_conf, added, prepared)
        sandbox.build(replace(planned, host_ports=ports.spans(), read_only=locks.read_only))
        passing = Passing(sandbox, opened.enter_context(closing(signals.hold())), beside.witness)
        if settings.linger:
            adopt_orphans()
        asked = on_host.open_all(settings.published().asked, opened)
        log = opened.enter_context(recorded.opened(name, settings, warn))
        release(sandbox, prepared, warn, has_proxy=out is not None)
        listeners = sandbox.listeners()
        tell_lacking(listeners, settings, warn)
        first = recorded.started(settings, prepared, out, name, command[0], listeners.intercept)
        recorded.begin(log, first, ports)
        outside.tell(command, settings, log.record, warn)
        ways_in = namespace.ways_in(listeners)
        relay = server.Relay(settings, ways_in, log.record, prepared, sources, ports, out, locks)
        relay.publish(beside.maker, asked)
        ended, notes = trio.run(_relay, relay, passing, log, beside.maker)
    recorded.tell_end(log, name, warn, ended.status, notes)
    return ended


def _require_network(warn: Callable[[str], None]) -> None:
    """Raise HostError where there is no IPv4; say where there is nothing but loopback."""
    if lacking := require_ipv4():
        warn(f"{lacking}; {ATTACH}")


def _proxied(out: "way_out.WayOut | None") -> Mapping[str, str | None]:
    """Return the variables that programs get behind a proxy; None takes one away."""
    return out.routes.environment(os.environ) if out is not None else {}


def release(
    sandbox: Sandbox,
    prepared: gateway.Prepared | gateway.Without,
    warn: Callable[[str], None],
    *,
    has_proxy: bool,
) -> None:
    """Let the command start, once it can neither change what runs here nor look into it.

    It is the same user's. The child waits for this before it becomes the command, and builds the
    namespace meanwhile. A process that is not dumpable is read and traced by root alone, ptrace(2),
    and leaves no core file; its folder in /proc is root's.
    """
    _tell_withheld(sandbox.withheld, warn)
    startup.seal(gateway=isinstance(prepared, gateway.Prepared), proxy=has_proxy)
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    sandbox.release()
    with startup.without_library_search():  # while the child builds the namespace
        startup.load(trio)


def _tell_withheld(withheld: Sequence[str], warn: Callable[[str], None]) -> None:
    """Name the descriptors that the command does not get."""
    if withheld:
        what = "; ".join(withheld)
        warn(f"descriptors that lead past the relay are not passed on: {what}")


def tell_lacking(listeners: Listeners, settings: Settings, warn: Callable[[str], None]) -> None:
    """Name what this kernel cannot do: which ports are all that can be caught, what stays open."""
    if listeners.intercept == "ports" and listeners.notes:
        caught = ", ".join(map(str, settings.ports or COMMON_PORTS))
        warn(f"{'; '.join(listeners.notes)}: only these ports can be reached: {caught}")
    if settings.host_ports and not listeners.reaches_host_ports:
        warn(f"127.0.0.1 does not lead to ports of the host on this kernel, but {HOST_NAME} does")
    if listeners.unmounted:
        warn(listeners.unmounted)
    if listeners.stays_open:
        warn(f"within reach on this kernel, though --strict: {'; '.join(listeners.stays_open)}")


def plan(
    settings: Settings,
    command: Sequence[str],
    resolv_conf: str,
    environment: Mapping[str, str | None],
    prepared: gateway.Prepared | gateway.Without | None = None,
) -> Plan:
    """Return what the namespace is to look like."""
    pool = parse_pool(settings.dns_pool)
    own_address = str(pool[1])
    files = {RESOLV_CONF: for_namespace(resolv_conf, own_address)}
    with contextlib.suppress(OSError):  # not a glibc system
        files[NSSWITCH_CONF] = without_bypasses(Path(NSSWITCH_CONF).read_text())
    roots, host = checked_for_caller(), host_network(pool)
    return Plan(
        command,
        files,
        owned=roots.files,
        owned_folders=roots.folders,
        device=host.device,
        addresses=host.addresses,
        gateway=host.gateway,
        environment=environment,
        instead_of_files={_RES_OPTIONS: f"{os.environ.get(_RES_OPTIONS, '')} {WAIT}".lstrip()},
        has_rules=settings.has_rules,
        own_address=own_address,
        intercept=namespace.ways(settings),
        ports=settings.ports or COMMON_PORTS,
        loopback_port=prepared.port if prepared is not None else None,
        connect_seconds=settings.patience,
        strict=settings.strict,
        share=settings.share,
        private_home=settings.home == "private",
    )


async def _relay(
    relay: "server.Relay", passing: Passing, log: FlightLog, maker: SocketMaker
) -> tuple[Ended, list[str]]:
    """Relay until the command has ended, and deliver what it sent last.

    Return how it ended, and what else is to be said then.
    """
    startup.end()
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        relaying.start(nursery, relay, log)
        ended = await waiting.command_end(passing, log.record)
        if relay.settings.linger:
            passing.sandbox.leave_orphans()
            await waiting.orphans_end(passing, log.record, maker.pid)
        await relaying.deliver_last_words(relay, passing, ended)
        nursery.cancel_scope.cancel()
    maker.stop()  # it is in the namespace
    left = await left_behind.look(relay.ways_in.dns[0][0], log.record, passing.sandbox.init)
    told = []
    if left:
        log.record(LeftBehind(processes=left))
        are_ended = relay.settings.strict or is_first_process()
        told.append(left_behind.told(left, are_ended=are_ended))
    return ended, [*told, *relaying.end(relay, ended.status, began)]
