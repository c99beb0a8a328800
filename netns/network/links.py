"""The namespace's network: lo and a device like the host's, every IPv4 address local ("AnyIP").

The device is one end of a veth pair whose other end is in the namespace too: what looks for an
interface that is up finds one, with the host's name and addresses, and nothing that is sent leaves.
"""

import contextlib
import socket
from pathlib import Path

from netns.errors import SandboxError
from netns.network import rtnetlink
from netns.plan import Plan

_LO_INDEX = 1
_OTHER_END = "keepline"
_MOST_ADDRESSES = 16
"""Of the device; a host with more has services' among them, each of which takes 0.1 ms."""
_LINEAR = "ipv4/tcp_syn_linear_timeouts"
_MOST_RETRIES = 127
_LONGEST_PAUSE = 120
"""Seconds, TCP_RTO_MAX of include/net/tcp.h."""


def bring_up(plan: Plan) -> str:
    """Bring lo and the device up, and have the kernel terminate every IPv4 connection here.

    Return why there is no device, if there is none. Raises OSError if lo cannot be used.

    A connection has the host's address for its source, as it has there; without any source of its
    own it could be its own peer. The local route is the device's, and so is what comes back: the
    kernel delivers over lo, but a socket that is bound to the device (SO_BINDTODEVICE) finds its
    routes, and its segments find it. IPv6 keeps ::1 and gets no route, so that a connect to any
    other address fails at once.
    """
    with rtnetlink.opened() as sock:
        rtnetlink.bring_up(sock, _LO_INDEX)
        rtnetlink.add_address(sock, _LO_INDEX, plan.own_address, 32, is_routed=True)
        index, source, why_not = _LO_INDEX, plan.own_address, ""
        if plan.device and plan.addresses:
            try:
                index = _add_device(sock, plan)
                source = plan.addresses[0][0]
            except OSError as error:
                why_not = f"no veth: {error.strerror or error}"
        rtnetlink.add_local_route(sock, index, source)
    return why_not


def require_empty(own_address: str) -> None:
    """Make sure that nothing leads out of this namespace, and remove what a session has left here.

    Raises SandboxError if a device other than lo is up. One that is down, as the kernel may put
    into each namespace (tunl0, sit0), takes NET_ADMIN to bring up.
    """
    with rtnetlink.opened() as sock:
        up = [index for index in rtnetlink.devices_up(sock) if index != _LO_INDEX]
        if up:
            names = ", ".join(map(socket.if_indextoname, up))
            raise SandboxError(
                f"the network is not empty, and no new one can be made: {names}",
                "start the container with --network=none, or allow unshare in its seccomp profile",
            )
        with contextlib.suppress(OSError):  # there is none
            rtnetlink.remove_local_route(sock, _LO_INDEX)
        with contextlib.suppress(OSError):
            rtnetlink.remove_address(sock, _LO_INDEX, own_address, 32)


def _add_device(sock: socket.socket, plan: Plan) -> int:
    """Make the pair, bring it up and number the device; return its index. Raises OSError.

    The addresses bring no route to their networks, which would come before the local one to
    everywhere: without rules of routing the kernel keeps both tables in one. The default route is
    for those who read whether there is one; the local one is as long, and comes first. It can be
    made only as long as the gateway is not local.
    """
    without_ipv6 = _without_ipv6()
    rtnetlink.add_veth(sock, _OTHER_END, plan.device)
    index, other = socket.if_nametoindex(plan.device), socket.if_nametoindex(_OTHER_END)
    try:
        for each in (other, index):
            rtnetlink.bring_up(sock, each, without_ipv6)
        for address, length in plan.addresses[:_MOST_ADDRESSES]:
            rtnetlink.add_address(sock, index, address, length, is_routed=False)
    except BaseException:
        rtnetlink.remove(sock, index)
        raise
    if plan.gateway:
        with contextlib.suppress(OSError):
            rtnetlink.add_default_route(sock, index, plan.gateway)
    return index


def _without_ipv6() -> bytes:
    """Turn IPv6 off on devices to come; return what keeps them from an address if that fails."""
    setting = "ipv6/conf/default/disable_ipv6"
    if sysctl(setting, "1") or not Path("/proc/sys/net", setting).exists():
        return b""
    return rtnetlink.NO_IPV6_ADDRESS


def sysctl(name: str, value: str) -> bool:
    """Write a setting of this network namespace; False where /proc/sys is read-only."""
    try:
        Path("/proc/sys/net", name).write_text(value)
    except OSError:
        return False
    return True


def connect_for(seconds: float) -> bool:
    """Let a connect() that nobody answers wait for `seconds` at least, tcp(7) tcp_syn_retries.

    False where that cannot be written. tcp_rto_max_ms would allow finer steps, but it also decides
    how soon the kernel gives up the data of a program that has ended before they were taken.
    """
    try:
        linear = int(Path("/proc/sys/net", _LINEAR).read_text())
    except OSError:
        linear = 0  # before Linux 6.5
    return sysctl("ipv4/tcp_syn_retries", str(syn_retries(seconds, linear)))


def syn_retries(seconds: float, linear: int) -> int:
    """Return the least number of retransmissions for which a SYN waits this long.

    The kernel gives up at the first timer by which the time has passed that this number would take
    if all pauses doubled (tcp_write_timeout()). But the first `linear` + 1 are a second each.
    """
    retries, pause, alone = 1, 2, 3
    while _first_timer(alone, linear) < seconds and retries < _MOST_RETRIES:
        retries += 1
        pause = min(2 * pause, _LONGEST_PAUSE)
        alone += pause
    return retries


def _first_timer(after: int, linear: int) -> int:
    """Return when the retransmission timer of a SYN first runs out `after` seconds or later."""
    waited, pause = linear + 1, 1
    while waited < after:
        pause = min(2 * pause, _LONGEST_PAUSE)
        waited += pause
    return waited if after > linear else after
