"""Tries each thing that `run` needs on this machine, in order, and names the fix for what fails.

Last it names what each level of isolation leaves open to this caller's commands, netns/levels.py.
"""

import ipaddress
import os
import socket
from collections.abc import Iterator
from typing import Final

import msgspec
import trio

from netns.errors import KeeplineError
from netns.hints import ALLOW_MOUNT, refused_call
from netns.levels import OPENINGS
from netns.sandbox import Listeners, Sandbox
from relay import session
from relay.addresses import DNS_PORT, HOST_NAME, parse_pool
from relay.config import ConfigError, Settings, parse_nameserver, way_out
from relay.dns.lookup.trial import try_all
from relay.doctor.check import Check, as_json, rendered
from relay.gateway.dialects import DEFAULT
from relay.gateway.setup import prepare as gateway
from relay.gateway.setup.choice import Enabled
from relay.host.interfaces import ATTACH, local_addresses, require_ipv4, routed_networks
from relay.host.resolv_conf import parse as parse_resolv_conf
from relay.host.resolvers import read_resolv_conf
from relay.outbound.keepalive import TCP_RTO_MAX_MS
from relay.publishing import trial
from relay.record.files import is_lasting, is_writable, sessions_folder, state_home

__all__ = ["as_json", "examine", "rendered"]

_NO_COMMAND: Final = ()
_PROXY_SECONDS: Final = 3.0
_RESOLVER_SECONDS: Final = 3.0
"""In which a resolver that works has answered, though a datagram was lost."""


def examine(settings: Settings | ConfigError) -> Iterator[Check]:
    """Try everything; what depends on a failed thing is not tried."""
    yield _gateway(Settings() if isinstance(settings, ConfigError) else settings)
    if isinstance(settings, ConfigError):
        yield Check("settings", works=False, detail=str(settings), fix="mend or remove the setting")
        settings = Settings()
    else:
        yield Check("settings", works=True)
    yield _ipv4()
    try:
        resolv_conf = read_resolv_conf(settings.nameservers)
    except KeeplineError as error:
        yield Check("resolvers", works=False, detail=error.cause, fix=error.next_step)
        resolv_conf = ""
    else:
        yield _resolvers(settings, resolv_conf)
    yield from _way_out(settings)
    yield _pool(settings)
    if settings.intercept != "proxy":
        yield from _namespace(settings, resolv_conf)
    yield _proxy(settings)
    yield _rto_max()
    yield _flight_log()
    yield from _left_open()


def _gateway(settings: Settings) -> Check:
    """Return what the gateway would do for the command that it is made for, and what it reads."""
    program = DEFAULT.programs[0]
    name = f"gateway, for {program}"
    try:
        chosen = gateway.choose(settings, (program,), os.environ)
    except KeeplineError as error:
        return Check(name, works=False, needed=False, detail=error.cause, fix=error.next_step)
    is_wanted = settings.gateway != "off"
    return Check(
        name,
        works=isinstance(chosen, Enabled) or not is_wanted,
        needed=False,
        detail=gateway.describe(chosen),
        fix="mend what is named above; losses in the middle of an answer are reported, not hidden",
    )


def _ipv4() -> Check:
    name = "IPv4 on this host"
    try:
        lacking = require_ipv4()
    except KeeplineError as error:
        return Check(name, works=False, detail=error.cause, fix=error.next_step)
    return Check(name, works=not lacking, needed=False, detail=lacking, fix=ATTACH)


def _resolvers(settings: Settings, resolv_conf: str) -> Check:
    """Ask each resolver that a session would ask; one that answers will do.

    None is needed: a session starts in an outage too, and holds what it cannot find out.
    """
    servers = tuple(
        map(parse_nameserver, settings.nameservers or parse_resolv_conf(resolv_conf).servers)
    )
    failures = trio.run(try_all, servers, _RESOLVER_SECONDS)
    return Check(
        "resolvers",
        works=None in failures.values(),
        needed=False,
        detail="; ".join(
            f"{server.without_port(DNS_PORT)} {'answers' if error is None else f'fails: {error}'}"
            for server, error in failures.items()
        ),
        fix="start them, or let this host send to their port 53 by UDP and TCP, or name others:"
        " --nameservers ADDRESS, or nameservers in config.toml",
    )


def _way_out(settings: Settings) -> Iterator[Check]:
    """Name each proxy that leads out, and see whether it can be dialled."""
    said: list[str] = []
    name = "the way out"
    try:
        out = way_out.find(settings, os.environ, said.append)
    except KeeplineError as error:
        yield Check(name, works=False, detail=error.cause, fix=error.next_step)
        return
    if said:
        fix = "name a proxy by --proxy URL or proxy in config.toml, or say --proxy off"
        yield Check(name, works=False, needed=False, detail="; ".join(said), fix=fix)
    if out is None:
        return
    for proxy in out.routes.proxies:
        try:
            address = out.known.get(proxy.host, proxy.host)
            socket.create_connection((address, proxy.port), _PROXY_SECONDS).close()
        except OSError as error:
            detail = f"{proxy}: {error.strerror or error}"
            fix = "start it, or name another by --proxy URL; --proxy off goes without"
            yield Check(name, works=False, needed=False, detail=detail, fix=fix)
        else:
            yield Check(name, works=True, detail=str(proxy))


def _pool(settings: Settings) -> Check:
    """Look whether the host itself uses addresses that stand for names, as with a fake-IP proxy."""
    pool = parse_pool(settings.dns_pool)
    used = [f"the host's {own}" for own in local_addresses() if ipaddress.ip_address(own) in pool]
    used += [f"a route to {network}" for network in routed_networks() if network.overlaps(pool)]
    return Check(
        "addresses that stand for names",
        works=settings.dns == "real" or not used,
        needed=False,
        detail=f"{pool}" + (f", in which there is {', '.join(sorted(used))}" if used else ""),
        fix="names are reached all the same, and addresses of that range without a name are not: if"
        " programs dial them, set another dns_pool, such as 10.254.0.0/16, or dns = real",
    )


def _namespace(settings: Settings, resolv_conf: str) -> Iterator[Check]:
    """Make a namespace as `run` does, without a command."""
    try:
        sandbox = Sandbox()
    except OSError as error:
        cause, fix = refused_call(error)
        yield Check("namespace", works=False, detail=cause, fix=fix)
        return
    failure = None
    try:
        sandbox.build(session.plan(settings, _NO_COMMAND, resolv_conf, {}))
        listeners = sandbox.listeners()
    except KeeplineError as error:
        failure = Check("namespace", works=False, detail=error.cause, fix=error.next_step)
    yield from (Check(step.name, works=True) for step in sandbox.steps if step.error is None)
    if failure is not None:
        yield failure
        return
    lacking = trial.lacking(listeners.diag)
    listeners.close()
    yield _covered(listeners)
    yield from _ways(listeners)
    yield Check(
        "servers inside are reached from the host (--publish)",
        works=not lacking,
        needed=False,
        detail=lacking or f"publish = {settings.published().mode}",
        fix="a kernel that lets a process enter user namespaces of its own, by setns(2)",
    )
    yield _strict(settings, resolv_conf)


def _strict(settings: Settings, resolv_conf: str) -> Check:
    """Make a namespace as `run --strict` does; name what this kernel cannot keep out of reach."""
    name = "all that --strict promises"
    try:
        sandbox = Sandbox()
        strict = msgspec.structs.replace(settings, strict=True)
        sandbox.build(session.plan(strict, _NO_COMMAND, resolv_conf, {}))
        listeners = sandbox.listeners()
        listeners.close()
        sandbox.end()
    except OSError as error:
        cause, fix = refused_call(error)
        return Check(name, works=False, needed=settings.strict, detail=cause, fix=fix)
    except KeeplineError as error:
        cause, fix = error.cause, error.next_step
        return Check(name, works=False, needed=settings.strict, detail=cause, fix=fix)
    stays_open = "; ".join(listeners.stays_open)
    fix = "a kernel that has it: without it, this alone stays within reach"
    return Check(name, works=not stays_open, needed=False, detail=stays_open, fix=fix)


def _covered(listeners: Listeners) -> Check:
    """Return whether the files that resolve names are keepline's, and no service goes past them."""
    return Check(
        "what resolves names is covered",
        works=not listeners.unmounted,
        needed=False,
        detail=listeners.unmounted,
        fix=f"{ALLOW_MOUNT}; names are answered all the same",
    )


def _ways(listeners: Listeners) -> Iterator[Check]:
    """Return how well the namespace stands in for the host's network."""
    yield Check(
        "best interception (tproxy)",
        works=listeners.intercept == "tproxy",
        needed=False,
        detail="; ".join(listeners.notes) or listeners.intercept,
        fix=f"a kernel with nft_tproxy; {listeners.intercept} is used meanwhile",
    )
    holds = listeners.syns is not None
    yield Check(
        "the host's interface and addresses are shown",
        works=not listeners.lacks,
        needed=False,
        detail="; ".join(listeners.lacks),
        fix="tproxy, and a kernel with veth and nft_socket; else some think they are offline",
    )
    syns = listeners.syns
    yield Check(
        "ports of the host's loopback can be opened (--host-port)",
        works=listeners.reaches_host_ports,
        needed=False,
        detail="" if syns is None or syns.ipv6 is not None else "at 127.0.0.1, not at ::1",
        fix=f"tproxy on a kernel with nft_socket and nfnetlink_log; {HOST_NAME} leads there",
    )
    yield Check(
        "a connect() is held until its destination is reached",
        works=holds,
        needed=False,
        detail="; ".join(
            [*listeners.held_notes, *([] if holds else ["it succeeds at once, then is reset"])]
        ),
        fix="tproxy on a kernel with nfnetlink_log, in a container that allows raw sockets",
    )


def _proxy(settings: Settings) -> Check:
    """Name what needs no namespace, and what that is worth."""
    rules = ", whatever the rules are" if settings.has_rules else ""
    return Check(
        "a proxy, which needs no namespace (run --intercept=proxy, keepline proxy)",
        works=True,
        detail=f"programs that ignore proxies go past it{rules}",
    )


def _rto_max() -> Check:
    """Try the socket option that keeps retransmissions close together."""
    name = "short retransmission back-off (TCP_RTO_MAX_MS)"
    with socket.socket() as sock:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, TCP_RTO_MAX_MS, 1000)
        except OSError as error:
            detail = f"{error.strerror}: connections take longer to speak after an outage"
            return Check(name, works=False, needed=False, detail=detail, fix="Linux 6.15 or later")
    return Check(name, works=True)


def _flight_log() -> Check:
    """Check that the folder of the flight logs, or the one it will be made in, is writable."""
    folder, wanted = sessions_folder(os.environ), state_home(os.environ)
    return Check(
        "flight log",
        works=is_writable(folder) and is_lasting(folder),
        needed=False,
        detail=str(folder),
        fix=f"make {wanted} writable, or set XDG_STATE_HOME to a folder that is",
    )


def _left_open() -> Iterator[Check]:
    """Name what each level leaves open to a command of this caller."""
    for opening in OPENINGS:
        levels = [
            level for level in opening.levels if opening.is_open(level, is_root=os.geteuid() == 0)
        ]
        if levels:
            name = f"{opening.name}, at the level{'s' * (len(levels) > 1)} {' and '.join(levels)}"
            yield Check(name, works=True, needed=False, detail=opening.sentence, is_open=True)
