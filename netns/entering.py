"""The network namespace in which the child goes on: one of its own, or else the caller's.

A container may refuse unshare(2), and give NET_ADMIN instead. Where its network is empty, which is
what `--network=none` makes, that is as good a namespace as a new one: nothing leads out of it.
"""

import errno
import os
import socket
from typing import Final

from netns import capabilities, handoff, syscalls
from netns.errors import SandboxError
from netns.handoff import step
from netns.hints import REPORT
from netns.network import interception, links
from netns.plan import Plan
from netns.process import idmap

_DNS_PORT: Final = 53


def enter_user_namespace(end: socket.socket) -> bool:
    """Get all capabilities over what is made from here on; map an ordinary caller's own id.

    Return False if that is refused to a caller who holds NET_ADMIN where it is; the parent knows
    whether that does.
    """
    uid, gid, held = os.getuid(), os.getgid(), capabilities.effective()
    range_mapped = idmap.can_map_range(held)
    is_refused = False
    try:
        with step("user namespace", end):
            try:
                syscalls.unshare(syscalls.CLONE_NEWUSER)
            except OSError:
                is_refused = True
                raise
            if not range_mapped:
                try:
                    idmap.write_single(uid, gid)
                except OSError as error:
                    raise idmap.refused(error, uid, held) from error
    except SandboxError as error:
        if not (is_refused and held & 1 << capabilities.NET_ADMIN):
            raise
        refused = handoff.Step("user namespace", error.cause, error.next_step, is_final=False)
        handoff.send_step(end, refused)
        return False
    return True


def has_own(entered: handoff.Step, plan: Plan) -> bool:
    """Return whether the child has a user namespace of its own, by what it has said of that.

    Raises SandboxError if it has none, and the plan needs one.
    """
    if entered.error is not None and not plan.may_stay:
        raise SandboxError(entered.error, entered.hint or REPORT)
    return entered.error is None


def enter_network(plan: Plan, end: socket.socket, *, has_own: bool) -> None:
    """Make a network and a mount namespace below a user namespace of our own, or else stay."""
    if not has_own:
        _stay(plan, end)
        return
    with step("network and mount namespace", end):
        syscalls.unshare(syscalls.CLONE_NEWNET | syscalls.CLONE_NEWNS)


def _stay(plan: Plan, end: socket.socket) -> None:
    """Take the caller's own network namespace, if it is empty and nobody else has taken it.

    It may have been another session's before, in the same container. Of two that start at once
    both may find the port free. One of them gets it then, and the other ends; should that one have
    removed the rules of the first, its connections fail: no link leads out.
    Raises SandboxError.
    """
    if plan.strict:
        raise SandboxError(
            "--strict needs namespaces of its own, and unshare is refused",
            "allow unshare in the container's seccomp profile, or leave --strict out",
        )
    with step("the container's own network", end):
        _require_free_port()
        links.require_empty(plan.own_address)
        interception.remove()


def _require_free_port() -> None:
    """Raise SandboxError if somebody listens where the name server is to, or we may not."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("0.0.0.0", _DNS_PORT))  # noqa: S104 - of a namespace without a link
        except OSError as error:
            raise no_port(error) from error


def no_port(error: OSError) -> SandboxError:
    """Return how it is told that the name server's port cannot be had, and why."""
    next_step = "end what listens there: another keepline run, or a name server"
    if error.errno == errno.EACCES:
        next_step = "start the container with --cap-add NET_BIND_SERVICE"
    return SandboxError(f"port {_DNS_PORT} of the container: {error.strerror}", next_step)
