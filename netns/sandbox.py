"""The parent's side: fork the child, map its ids, collect its listeners, wait, pass signals on."""

import contextlib
import json
import os
import select
import signal
import socket
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Final

from netns import capabilities, child, entering, handoff, needed, syscalls
from netns.errors import EXIT_OWN_FAILURE, SandboxError
from netns.handoff import Listeners, Moved, Step
from netns.hints import REPORT, end_hint, host_facts, silent_hint
from netns.plan import Plan
from netns.process import idmap, timers
from netns.process.inherited import Inherited
from netns.process.members import children
from netns.process.waited import (
    Ended,
    Stopped,
    Waited,
    ended,
    is_first_process,
    remember_how_children_end,
)
from netns.strict.init import ADOPTED, ALONE

__all__ = [
    "EXIT_OWN_FAILURE",
    "Ended",
    "Listeners",
    "Plan",
    "Sandbox",
    "SandboxError",
    "Stopped",
    "is_first_process",
]

_ENDING_SECONDS: Final = 5


class EndedEarlyError(Exception):
    """The child was ended before it had become the command, by a signal that asks to end."""

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended)
        self.ended = ended


_ASK_TO_END: Final = frozenset(
    {signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM, signal.SIGPIPE}
    | {signal.SIGUSR1, signal.SIGUSR2}
)


class Sandbox(Waited):
    """One command in its namespace, from fork to exit."""

    withheld: Sequence[str] = ()
    """What the command does not get of what was inherited, for people."""
    passes_folders: bool = False
    """Whether the command inherits a folder, from which others are reached past all mounts."""

    def __init__(self, inherited: Inherited | None = None) -> None:
        """Fork: the child loads what it needs while the caller finds out what to run.

        The caller has one thread and lives as long as the command: its end is the child's
        SIGHUP. Without build(), the child ends with the caller. What the process has
        inherited, if it is given, is the command's alone: its copies here are closed, those of
        stdin and stdout by build(). Raises OSError where the kernel, or a filter, refuses a
        call that is needed.
        """
        self._inherited = inherited
        if inherited is not None:
            self.withheld, self.passes_folders = inherited.withheld, inherited.has_folders
        self.steps: list[Step] = []
        """What the namespace needed so far, in order, for people."""
        self._lifeline: int | None = None
        """With --strict: the end to write to of the pipe that the init of the sandbox reads."""
        self.init = 0
        """With --strict, the process id of that init."""
        self._init_fd: int | None = None
        self._command_fd: int | None = None
        self._end, childs_end = handoff.channel()
        needed.require(self._end)
        parent = os.getpid()
        childs_pipe, self._plan_pipe = os.pipe()
        taken = timers.take()
        self.pid = os.fork()
        if self.pid == 0:
            try:  # the child's code may be loaded only here, and what fails must not go on above
                timers.put(taken)
                self._end.close()
                os.close(self._plan_pipe)
                passed_on = inherited.passed_on if inherited is not None else ()
                child.main(childs_end, childs_pipe, parent, passed_on)
            finally:
                os._exit(EXIT_OWN_FAILURE)
        if inherited is not None:
            inherited.close()
        childs_end.close()
        os.close(childs_pipe)
        remember_how_children_end()

    def build(self, plan: Plan) -> None:
        """Let the child build the namespace and run the command; raises SandboxError.

        Returns as soon as the child needs nothing more from here, before the namespace is complete.
        """
        if plan.strict:
            from netns.private.unix_sockets import host_sockets  # noqa: PLC0415 - here alone

            plan = replace(plan, sockets=host_sockets())
        self._receive()  # the user namespace
        if entering.has_own(self.steps[-1], plan) and idmap.can_map_range():
            self._write_map()
        if plan.strict:
            adopt_orphans()  # the processes of the PID namespace, whose parent will have ended
        try:
            self._send_lifeline(is_needed=plan.strict)
            with open(self._plan_pipe, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor
                json.dump(asdict(plan), file)
        except (BrokenPipeError, ConnectionResetError):
            raise self._early_end() from None
        if self._inherited is not None:
            self._inherited.release_streams()

    def _send_lifeline(self, *, is_needed: bool) -> None:
        """Tell that the ids are mapped, and pass on what tells the sandbox that the relay lives."""
        if not is_needed:
            self._end.send(b"m")
            return
        childs, self._lifeline = os.pipe()
        try:
            socket.send_fds(self._end, [b"m"], [childs])
        finally:
            os.close(childs)

    def _adopt(self, moved: Moved) -> None:
        """Take the place of the child, which forked these and ends; say so to both."""
        os.waitpid(self.pid, 0)
        self.pid, self.init = moved.command, moved.init
        self._init_fd = os.pidfd_open(moved.init)
        self._command_fd = os.pidfd_open(moved.command)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # they have ended
            handoff.adopt(self._end)
            if self._lifeline is not None:
                os.write(self._lifeline, ADOPTED)

    def end(self) -> None:
        """End what the command has left behind in its PID namespace, if it has one.

        When keepline ends, all of them have ended. Only what the kernel cannot end yet, such as a
        process that waits for a disk, is not waited for any longer. An init ends after all others
        have been waited for, pid_namespaces(7), and the command is ours: so it comes first.
        """
        if self._init_fd is None or self._command_fd is None:
            return
        with contextlib.suppress(ProcessLookupError):  # all have ended, and so has init
            signal.pidfd_send_signal(self._init_fd, signal.SIGKILL)
        _await_end(self._command_fd)
        with contextlib.suppress(ChildProcessError):  # it was waited for
            os.waitpid(self.pid, os.WNOHANG)
        _await_end(self._init_fd)
        os.close(self._command_fd)
        os.close(self._init_fd)
        self._init_fd = self._command_fd = None

    def leave_orphans(self) -> None:
        """Let what the command has left behind go on until it ends, if it can be told."""
        if self._lifeline is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(self._lifeline, ALONE)

    def _write_map(self) -> None:
        """Map the range for the child: only its parent's namespace may."""
        try:
            idmap.write_range(self.pid)
        except OSError as error:
            raise idmap.refused(error, os.getuid(), capabilities.effective()) from error

    def _receive(self) -> Listeners | None:
        """Take the child's next message; None for a step that is done, which is noted."""
        try:
            message = handoff.receive(self._end)
        except EOFError:
            raise self._early_end() from None
        if isinstance(message, Listeners):
            return message
        if isinstance(message, Moved):
            self._adopt(message)
            return None
        self.steps.append(message)
        if message.error is not None and message.is_final:
            os.waitpid(self.pid, 0)
            raise SandboxError(message.error, message.hint or REPORT)
        return None

    def _early_end(self) -> Exception:
        """Return what it means that the child has ended without a word.

        A signal to the group, such as Ctrl-C's, meets the child as it would have met the command.
        """
        out = ended(os.waitpid(self.pid, 0)[1])
        if out.signal in _ASK_TO_END:
            return EndedEarlyError(out)
        if out.signal:
            how = f"killed by {signal.Signals(out.signal).name}"
            return SandboxError(f"the child was {how} early", end_hint(out.signal, host_facts()))
        cause = f"the child ended early, with status {out.status}"
        return SandboxError(cause, silent_hint(host_facts()))

    def release(self) -> None:
        """Let the command start as soon as the namespace is complete, but not before this.

        To be called between build() and listeners(), which tells why a child has ended early.
        """
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            handoff.release(self._end)

    def listeners(self) -> Listeners:
        """Wait until the namespace is complete and take its listeners; raises SandboxError."""
        try:
            return self.unreleased()
        finally:
            self._end.close()

    def unreleased(self) -> Listeners:
        """Do the same before release(), which is to follow."""
        while (listeners := self._receive()) is None:
            pass
        return listeners


def _await_end(pidfd: int) -> None:
    """Wait until a process has ended, for _ENDING_SECONDS at most."""
    waiting = select.poll()
    waiting.register(pidfd, select.POLLIN)
    waiting.poll(_ENDING_SECONDS * 1000)


def adopt_orphans() -> None:
    """Become the parent of what the command leaves behind, so that its end can be awaited."""
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)


def orphans_left(ours: int = 0) -> bool:
    """Reap what has ended; return whether any process of the namespace is left.

    `ours` is a child that is none of them.
    """
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        return False
    return not ours or any(pid != ours for pid in children(os.getpid()))
