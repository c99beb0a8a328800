"""The steps of `--strict`, in their order between those of the child."""

import os
import socket

from netns import handoff, syscalls
from netns.handoff import step
from netns.plan import Plan
from netns.strict import init, keyring, mounts, scopes


def enter_pid_namespace(end: socket.socket, lifeline: int) -> None:
    """Go on in it, and in an IPC namespace, as another process: this one ends here."""
    with step("PID and IPC namespace", end):
        syscalls.unshare(syscalls.CLONE_NEWPID | syscalls.CLONE_NEWIPC)
        moved = init.enter(lifeline)
    if moved is not None:
        handoff.send_moved(end, handoff.Moved(*moved))
        os._exit(0)


def confine(plan: Plan, end: socket.socket, *, is_root: bool) -> None:
    """Put the host's processes, terminals, files and keys out of reach."""
    from netns.private import covering, settings  # noqa: PLC0415 - before /tmp is private

    with step("processes of its own", end):
        mounts.mount_proc()
        if is_root:
            mounts.forbid_user_namespaces()
            settings.protect_proc()
    with step("terminals of its own", end):
        terminal = mounts.mount_terminals()
    with step("private files", end):
        covering.cover(plan)
        mounts.show_terminal(terminal)
    with step("session keyring of its own", end):
        keyring.join_new()


def scope(end: socket.socket) -> list[str]:
    """Keep signals inside; return what stays within reach where this kernel cannot."""
    if not scopes.are_there():
        return [scopes.LACKING]
    with step("signals kept inside", end):
        scopes.restrict()
    return []
