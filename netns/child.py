"""The child's side, in order: unshare, map, links, listeners, interception, mounts, exec."""

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from netns import covering, entering, handoff, read_only, syscalls
from netns.errors import EXIT_OWN_FAILURE, SandboxError
from netns.handoff import step
from netns.hints import REPORT, refused_call
from netns.network import holding, interception, links, netlink
from netns.network.holding import MARK, RELAYS_MARK, SO_MARK, IPv6Sockets, SynSockets
from netns.network.host_addresses import HostAddresses, open_set
from netns.plan import Intercept, Plan
from netns.process import command, inherited, privileges
from netns.process.filter import seccomp
from netns.strict import confinement, init

_BACKLOG = 4096
_DNS_PORT = 53
_IPV6_TRANSPARENT: Final = 75
"""Of <linux/in6.h>."""
_NEEDS_TPROXY: Final = "servers at the host's own addresses are found with tproxy alone"
_UNPRIVILEGED_PORT_START = "ipv4/ip_unprivileged_port_start"


class _Interception(NamedTuple):
    """How TCP connections are caught."""

    way: Intercept
    listeners: list[socket.socket]
    syns: SynSockets | None
    host_addresses: HostAddresses | None
    notes: list[str]
    held_notes: list[str]
    no_servers: str
    """Why servers inside are not found at the host's addresses; empty if they are."""


def main(
    end: socket.socket, plan_pipe: int, parent: int, passed_on: Collection[int] = ()
) -> NoReturn:
    """Build the namespace and become the command, with what is passed on; never returns."""
    sys.unraisablehook = _say_nothing
    try:
        is_root = os.getuid() == 0
        has_own = entering.enter_user_namespace(end)  # first: the parent may wait to map it
        plan = _receive_plan(plan_pipe)
        with step("id map", end):  # the parent has written it, or has seen that it need not
            lifeline = socket.recv_fds(end, 1, 1)[1]
        listeners = _build(plan, end, lifeline, is_root=is_root, has_own=has_own)
        handoff.send_listeners(end, listeners)
        listeners.close()
        handoff.await_start(end, is_released=bool(plan.command), is_adopted=plan.strict)
        end.close()
        if not plan.command:
            os._exit(0)
        if listeners.unmounted:
            plan = replace(plan, environment={**plan.environment, **plan.instead_of_files})
        _become(plan, parent, lifeline, passed_on)
    except SandboxError as error:
        _tell(end, error.cause, error.next_step)
    except OSError as error:
        _tell(end, *refused_call(error))
    except BaseException as error:  # noqa: BLE001 - a fork must not return into the parent's code
        _tell(end, f"{type(error).__name__}: {error}", REPORT)
    os._exit(EXIT_OWN_FAILURE)


def _say_nothing(_: object) -> None:
    """Ignore what fails while a failed attempt is cleaned up: its cause has been reported."""


def _tell(end: socket.socket, cause: str, next_step: str) -> None:
    """Report why there will be no command: to the parent, or else on stderr."""
    with contextlib.suppress(OSError):  # the parent is gone, or its stderr is
        if end.fileno() != -1:
            handoff.send_step(end, handoff.Step("", cause, next_step))
        else:
            os.write(2, f"keepline: {cause}\n  try: {next_step}\n".encode())


def _receive_plan(pipe: int) -> Plan:
    """Wait for the plan; without one, the parent has found that there is nothing to run."""
    with open(pipe, encoding="ascii") as file:
        text = file.read()
    if not text:
        os._exit(0)
    return Plan(**json.loads(text))


def _build(
    plan: Plan, end: socket.socket, lifeline: Sequence[int], *, is_root: bool, has_own: bool
) -> handoff.Listeners:
    """Make the namespace, reporting each step that is done."""
    port_start = Path("/proc/sys/net", _UNPRIVILEGED_PORT_START).read_text()
    entering.enter_network(plan, end, has_own=has_own)
    for each in lifeline:  # with --strict there is one
        confinement.enter_pid_namespace(end, each)
    with step("loopback and routes", end):
        no_device = links.bring_up(plan)
        # The host's may be bbr, whose pacing halves throughput over lo.
        links.sysctl("ipv4/tcp_congestion_control", "reno")
        # Root loses NET_BIND_SERVICE, a capability over the network, but not port 80.
        links.sysctl(_UNPRIVILEGED_PORT_START, "0" if is_root else port_start)
    with step("name server on port 53", end):
        dns_udp, dns_tcp = _dns_sockets()
    with step("interception of TCP", end):
        diag = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG)
        ways = _intercept(plan)
        tcp = ways.listeners
        if plan.loopback_port is not None:
            tcp.append(_listen("127.0.0.1", plan.loopback_port))
    closed_off = _close_off(plan, end, is_root=is_root, has_own=has_own)
    listeners = handoff.Listeners(
        ways.way,
        tcp,
        dns_udp,
        dns_tcp,
        diag,
        ways.syns,
        ways.host_addresses,
        ways.notes,
        ways.held_notes,
        [why for why in (no_device, ways.no_servers) if why],
        *closed_off,
    )
    listeners.open_host_ports(plan.host_ports)
    return listeners


def _close_off(
    plan: Plan, end: socket.socket, *, is_root: bool, has_own: bool
) -> tuple[list[str], list[str], str]:
    """Cover files, and take away what the command may not keep.

    Return the folders that are read-only, what stays within reach on this kernel though --strict is
    to close it, and why no file is covered.
    """
    with step("resolv.conf and nsswitch.conf", end):
        unmounted = covering.cover(plan, has_own=has_own)
        protected = read_only.protect(plan.read_only)
    if plan.strict:
        confinement.confine(plan, end, is_root=is_root)
    with step("capabilities dropped", end):
        if not has_own:
            syscalls.clear_inheritable_capabilities()  # which some container engines set
        privileges.drop(keep_root=is_root)
    stays_open = confinement.scope(end) if plan.strict else []
    with step("system calls refused", end):
        seccomp.install(is_root=is_root and has_own, strict=plan.strict)
    return protected, stays_open, unmounted


def _dns_sockets() -> tuple[socket.socket, socket.socket]:
    """Make the sockets of the name server, on every address: the program may ask any of them."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_PKTINFO", 8), 1)
    udp.bind(("0.0.0.0", _DNS_PORT))  # noqa: S104 - of a namespace that has lo only
    return udp, _listen("0.0.0.0", _DNS_PORT)  # noqa: S104


def _listen(address: str, port: int, *, transparent: bool = False) -> socket.socket:
    """Listen; accepted sockets inherit TCP_NODELAY."""
    is_ipv6 = ":" in address
    sock = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if transparent:
        level = socket.IPPROTO_IPV6 if is_ipv6 else socket.IPPROTO_IP
        sock.setsockopt(level, _IPV6_TRANSPARENT if is_ipv6 else socket.IP_TRANSPARENT, 1)
        sock.setsockopt(socket.SOL_SOCKET, SO_MARK, RELAYS_MARK)
    sock.bind((address, port))
    sock.listen(_BACKLOG)
    return sock


def _intercept(plan: Plan) -> _Interception:
    """Install the first way of interception that this kernel supports; raises OSError."""
    notes: list[str] = []
    held_notes: list[str] = []
    for way in plan.intercept:
        syns = _syn_sockets(plan, held_notes) if way == "tproxy" else None
        try:
            listeners, found, why_not = _listeners_for(way, plan, held=syns is not None)
        except OSError as error:
            notes.append(f"{way} is not available: {error.strerror or error}")
            if syns is not None:
                syns.close()
        else:
            if syns is not None and found is not None:
                syns = _with_ipv6(syns)
            return _Interception(way, listeners, syns, found, notes, held_notes, why_not)
    raise OSError("; ".join(notes))


def _syn_sockets(plan: Plan, notes: list[str]) -> SynSockets | None:
    """Prepare to hold SYNs; None, and a note, where the kernel gives no such sockets."""
    try:
        syns = holding.open_sockets()
    except OSError as error:
        notes.append(f"no sockets for it: {error.strerror or error}")
        return None
    if not links.connect_for(plan.connect_seconds):
        notes.append("tcp_syn_retries cannot be written: it ends when the kernel gives up")
    return syns


def _with_ipv6(syns: SynSockets) -> SynSockets:
    """Hold SYNs to ::1 too, where this kernel can; else it refuses what nobody takes there."""
    try:
        listener = _listen("::1", 0, transparent=True)
        with _closed_on_failure(listener):
            raw = holding.open_raw(MARK, socket.AF_INET6)
            with _closed_on_failure(raw):
                interception.install_ipv6(listener.getsockname()[1])
    except OSError:
        return syns
    return replace(syns, ipv6=IPv6Sockets(listener, raw))


def _listeners_for(
    way: Intercept, plan: Plan, *, held: bool
) -> tuple[list[socket.socket], HostAddresses | None, str]:
    """Make the listeners of one way, and have connections go to them; raises OSError.

    Return beside them the set of the host's addresses, or why there is none.
    """
    if way == "ports":
        listeners = [_listen("0.0.0.0", port) for port in plan.ports]  # noqa: S104
        return listeners, None, _NEEDS_TPROXY
    if way == "redirect":
        sock = _listen("0.0.0.0", 0)  # noqa: S104
        with _closed_on_failure(sock):
            interception.install(way, plan.own_address, sock.getsockname()[1], held=held)
        return [sock], None, _NEEDS_TPROXY
    sock = _listen("127.0.0.1", 0, transparent=True)
    port = sock.getsockname()[1]
    with _closed_on_failure(sock):
        try:
            interception.install(way, plan.own_address, port, held=held, servers=True)
        except OSError as error:
            interception.install(way, plan.own_address, port, held=held)
            return [sock], None, f"no socket expression of nf_tables: {error.strerror or error}"
        addresses = [address for address, _length in plan.addresses]
        host_addresses = open_set(interception.TABLE, addresses)
    return [sock], host_addresses, ""


@contextlib.contextmanager
def _closed_on_failure(sock: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sock.close()
        raise


def _become(
    plan: Plan, parent: int, lifeline: Sequence[int], passed_on: Collection[int]
) -> NoReturn:
    """Exec the command as its caller would have: signals, descriptors, environment."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores both
    inherited.pass_on(passed_on)
    # Set last, for a change of credentials clears it. Without the relay the command is cut off.
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGHUP)
    if not (init.relay_lives(*lifeline) if lifeline else os.getppid() == parent):
        os._exit(EXIT_OWN_FAILURE)
    environment = command.changed(command.callers_environment(), plan.environment)
    command.become(plan.command, inherited.readdressed(environment, parent))
