"""A sealed container's session outside of it, from Hello to Finished, in a process of its own.

Policy, settings and the record are of this side; the container can only tighten. Its end is that of
its connection, whatever it leaves behind: then nothing of it is served any more.
"""

import contextlib
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import msgspec
import trio

from netns.errors import EXIT_OWN_FAILURE, KeeplineError
from netns.handoff import Listeners
from netns.network.holding import SynSockets
from relay import __version__, namespace, recorded, relaying, server, startup
from relay.command.signals import heeded
from relay.config import SESSION_VARIABLE, Settings, Sources
from relay.gateway.dialects import programs
from relay.gateway.setup import choice
from relay.gateway.setup import prepare as gateway
from relay.host.interfaces import require_ipv4
from relay.host.resolvers import read_resolv_conf
from relay.policy.host_ports import HostPorts
from relay.publishing import on_host
from relay.record.flightlog import FlightLog
from relay.remote import channel, descriptors, messages
from relay.remote.channel import BrokenError
from relay.remote.maker import RemoteMaker
from relay.remote.socket_file import Peer

HANDSHAKE: Final = 30.0
"""Seconds for each message of the container before its command runs."""

DRAIN: Final = 10.0
"""Seconds for what is under way when the session, or the relay, ends."""

_ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def serve(sock: socket.socket, sources: Sources, warn: Callable[[str], None]) -> None:
    """Serve one container, until its connection ends; what it does wrong is told, and refused."""
    sock.settimeout(HANDSHAKE)
    peer = Peer.of(sock)
    try:
        peer.require()
        _serve(sock, peer, sources, warn)
    except KeeplineError as error:
        warn(f"{_told(peer)}: {error.cause}")
        _refuse(sock, error.cause, error.next_step)
    except (BrokenError, ValueError) as error:
        warn(f"{_told(peer)}: {error}")
        _refuse(
            sock, f"the relay does not understand: {error}", "keepline --version, on both sides"
        )
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # it has ended before its command ran
    except TimeoutError:
        warn(f"{_told(peer)}: nothing came from it for {HANDSHAKE:.0f} s")


def _told(peer: Peer) -> str:
    return f"a sealed container (uid {peer.uid}, pid {peer.pid})"


def _refuse(sock: socket.socket, cause: str, next_step: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # it is gone
        channel.send(sock, messages.Refused(cause, next_step))


def _hello(sock: socket.socket) -> messages.Hello:
    """Receive the first message; raises KeeplineError for another version of keepline."""
    data, _no_fds = channel.receive(sock)
    try:
        return messages.hello(data)
    except messages.OtherProtocolError as error:
        raise KeeplineError(
            f"the relay speaks protocol {messages.PROTOCOL} of keepline {__version__}, and the"
            f" container protocol {error.protocol}",
            "install the same version of keepline on both sides",
        ) from None


def _serve(sock: socket.socket, peer: Peer, sources: Sources, warn: Callable[[str], None]) -> None:
    """Make the session that is asked for, and relay; raises as serve() catches."""
    hello = _hello(sock)
    sources = sources._replace(asked=tuple(each.project() for each in hello.asked))
    settings = _settled(sources.settings(), hello)
    require_ipv4()
    resolv_conf = read_resolv_conf(settings.nameservers)
    (name, bundle), out = recorded.new_name(), relaying.found_way_out(settings, warn)
    agent = (hello.agent,) if hello.agent in programs() else ()
    with gateway.opened(settings, agent, bundle, warn) as prepared, ExitStack() as opened:
        asked = on_host.open_all(settings.published().asked, opened)
        log = opened.enter_context(recorded.opened(name, settings, warn))
        channel.send(sock, _welcome(name, settings, resolv_conf, prepared))
        listeners, maker = _handed_over(sock)
        started = recorded.started(
            settings,
            prepared,
            out,
            name,
            hello.program,
            listeners.intercept,
            peer=f"in {_told(peer)}",
        )
        ports = HostPorts(settings.opened_ports())
        recorded.begin(log, started, ports)
        ways_in = namespace.ways_in(listeners)
        relay = server.Relay(settings, ways_in, log.record, prepared, sources, ports, out)
        relay.publish(maker, asked)
        _hold_signals()
        channel.send(sock, messages.Serving())
        status, notes = trio.run(_relay, relay, sock, log)
    said: list[str] = []
    recorded.tell_end(log, name, said.append, status, notes)
    if not _is_told(sock, "; ".join(said)):
        for line in said:
            warn(f"{hello.program}: {line}")


def _settled(settings: Settings, hello: messages.Hello) -> Settings:
    """Return the settings, with what the container knows alone: whether somebody reads along."""
    if settings.hold != "auto":
        return settings
    hold = "block" if hello.is_terminal else "message"
    return msgspec.structs.replace(settings, hold=hold)


def _welcome(
    name: str, settings: Settings, resolv_conf: str, prepared: gateway.Prepared | gateway.Without
) -> messages.Welcome:
    """Return what the namespace inside is to be like."""
    environment = {**prepared.environment, SESSION_VARIABLE: name}
    environment.pop(choice.EXTRA, None)  # a file of this side
    made = prepared.certificates if isinstance(prepared, gateway.Prepared) else None
    return messages.Welcome(
        version=__version__,
        session=name,
        dns_pool=settings.dns_pool,
        resolv_conf=resolv_conf,
        intercept="auto" if settings.intercept == "proxy" else settings.intercept,
        ports=settings.ports,
        patience=settings.patience,
        loopback_port=prepared.port,
        environment=environment,
        authority=made.ca if made is not None else "",
    )


def _handed_over(sock: socket.socket) -> tuple[Listeners, RemoteMaker]:
    """Receive the sockets of the container; raises as serve() catches."""
    data, fds = channel.receive(sock, takes_fds=True)
    try:
        handover = messages.handover(data)
    except ValueError:
        channel.close(fds)
        raise
    taken = descriptors.taken(fds, handover, descriptors.own_cookie())
    dns_udp, dns_tcp, diag, *sockets = taken
    syns, end = None, None
    if handover.holds:
        count = 5 if handover.holds_ipv6 else 3
        syns, sockets = SynSockets.of(sockets[:count]), sockets[count:]
    if handover.makes:
        end, *sockets = sockets
    listeners = Listeners(
        handover.intercept,
        sockets,
        dns_udp,
        dns_tcp,
        diag,
        syns,
        notes=handover.notes,
        held_notes=handover.held_notes,
    )
    return listeners, RemoteMaker(end, descriptors.cookie(diag))


async def _relay(
    relay: "server.Relay", sock: socket.socket, log: FlightLog
) -> tuple[int, list[str]]:
    """Relay until the container's connection ends, or this process is asked to end.

    Return the status of the command, and what else is to be said then. A peer that sends anything
    but its Ended has ended by that.
    """
    startup.end()
    sock.setblocking(False)  # noqa: FBT003 - positional only
    began, status = trio.current_time(), EXIT_OWN_FAILURE
    async with trio.open_nursery() as nursery:
        relaying.start(nursery, relay, log)
        async with trio.open_nursery() as waiting:
            waiting.start_soon(_asked_to_end, waiting.cancel_scope)
            status = await _command_end(sock)
            waiting.cancel_scope.cancel()
        with trio.move_on_after(DRAIN):
            await relay.finish()
        nursery.cancel_scope.cancel()
    return status, relaying.end(relay, status, began)


def _hold_signals() -> None:
    """Have signals to end wait until _asked_to_end(), and mean nothing after it.

    A race: who ends the relay may ask its sessions too, as a terminal does and systemd, and then
    the relay asks them again. The second signal may come at any time after the first one was
    received, while what is under way is delivered: it must not kill the session.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    for number in heeded(_ENDING):
        signal.signal(number, lambda _number, _frame: None)  # SIG_IGN would drop one that waits


async def _asked_to_end(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(*heeded(_ENDING)) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        async for _number in signals:
            scope.cancel()


async def _command_end(sock: socket.socket) -> int:
    """Wait for the end of the command, or of the container; return the status.

    A container that has ended without a word has none: that is a failure, and not the command's.
    """
    await trio.lowlevel.wait_readable(sock)
    try:
        message = messages.from_inside(channel.receive(sock)[0])
    except (EOFError, OSError, BrokenError, ValueError):
        return EXIT_OWN_FAILURE
    return message.status if isinstance(message, messages.Ended) else EXIT_OWN_FAILURE


def _is_told(sock: socket.socket, line: str) -> bool:
    """Tell the container that all is delivered; return whether it still asks."""
    try:
        channel.send(sock, messages.Finished(line[: messages.MOST_OF_LINE]))
    except OSError:  # it is gone, or reads nothing
        return False
    return True
