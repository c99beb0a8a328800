"""Which signals keepline passes on to the command: those that it would have got bare, each once.

- The terminal's (of Ctrl-C, Ctrl-Z, a new size) are the kernel's own, and went to the whole
  foreground group. So are SIGCHLD and limits of CPU time, which are about this process.
- The end of the terminal reaches the leader of its session alone, so keepline passes it on if it
  is the leader, credentials(7).
- What a process has sent is passed on, unless the command is in our group and the witness has it
  too: then it was sent to all of them.
- What we have raised ourselves (SIGPIPE of a closed pipe) is no message to the command, but for
  SIGURG: the first that came, from whomever. One more is ignored by all that ask for none.
"""

import contextlib
import os
import signal
from collections.abc import Collection
from typing import Final, Protocol

import trio

from netns.sandbox import Ended, Stopped
from relay.barrier import Record, contained
from relay.command import signals
from relay.command.signals import Sent, Signals
from relay.command.witness import Witness

_STOPS: Final = frozenset({signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})

_ALL_HAVE_IT: Final = 0.01
"""Seconds in which whoever signals all processes one by one, as systemd does with a control group,
has come to the command and to the witness."""


class Command(Protocol):
    """What keepline runs, in a namespace or without."""

    pid: int
    init: int
    """The first process of its PID namespace, if that is keepline's; else 0."""

    def poll(self) -> Ended | Stopped | None:
        """Return what became of it since the last call, without waiting."""

    def has_news(self) -> bool:
        """Return whether poll() would have news."""

    def leave_orphans(self) -> None:
        """Let what it has left behind go on until it ends."""


class Passing:
    """Passes on what is sent to keepline."""

    def __init__(self, sandbox: Command, held: Signals, witness: Witness) -> None:
        self.sandbox = sandbox
        self._held = held
        self._witness = witness
        self._has_ended = False

    async def receive(self, record: Record) -> set[int]:
        """Wait for signals; pass on what the command has not got, and return all that came.

        The witness is asked for every batch, and so forgets what is no longer of interest. A signal
        to the group is given to its youngest members first, and to us last: what we have read, the
        witness has. A fault costs the signal in which it came up, not the others of the batch.
        """
        batch = await self._held.receive()
        if self._has_ended:
            return {sent.number for sent in batch}
        is_message = any(map(_is_message, batch))
        if is_message:
            await trio.sleep(_ALL_HAVE_IT)
            with contained(record, "signal"):
                batch += self._held.waiting()
        if is_message or any(sent.number != signal.SIGCHLD for sent in batch):
            seen = self._witness.seen()
            for sent in filter(_is_message, _in_effect(batch)):
                with contained(record, "signal"):
                    self._pass_on(sent, seen)
        return {sent.number for sent in batch}

    def _pass_on(self, sent: Sent, seen: Collection[tuple[int, int]] | None) -> None:
        """Send it to the command, unless that has it already, has ended, or is another user's."""
        if not (self._shares_group() and self._was_for_all(sent, seen)):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signals.send(self.sandbox.pid, sent)

    def end(self) -> None:
        """Pass nothing on any more: the command has ended."""
        self._witness.dismiss()
        self._has_ended = True

    def _shares_group(self) -> bool:
        try:
            return os.getpgid(self.sandbox.pid) == os.getpgrp()
        except ProcessLookupError:
            return True

    def _was_for_all(self, sent: Sent, seen: Collection[tuple[int, int]] | None) -> bool:
        """Return whether a signal has reached the command already.

        Of SIGCONT the command tells more than the witness, from which a next stop may have taken
        it: the command has gone on, and maybe stopped again.
        """
        if sent.number == signal.SIGCONT and self.sandbox.has_news():
            return True
        if seen is None:
            return False
        if _is_urgent(sent):
            return any(number == sent.number for number, _pid in seen)
        return (sent.number, sent.pid) in seen


def _in_effect(batch: list[Sent]) -> list[Sent]:
    """Leave out each stop that was taken back by a later SIGCONT, and the other way round.

    The kernel does so with those that wait, signal(7). The witness no longer has them, and what is
    passed on late would undo what came after it: a second Ctrl-Z at once after `fg`.
    """
    kept: list[Sent] = []
    for sent in batch:
        if sent.number == signal.SIGCONT:
            kept = [each for each in kept if each.number not in _STOPS]
        elif sent.number in _STOPS:
            kept = [each for each in kept if each.number != signal.SIGCONT]
        kept.append(sent)
    return kept


def _is_message(sent: Sent) -> bool:
    """Return whether a signal is meant for what keepline runs."""
    if sent.is_sent:
        return sent.pid != os.getpid() or _is_urgent(sent)
    return sent.number == signal.SIGHUP and os.getsid(0) == os.getpid()


def _is_urgent(sent: Sent) -> bool:
    """Return whether it stands for another, whose sender is not known, tcp/transfer/urgent.py."""
    return sent.number == signal.SIGURG and sent.pid == os.getpid()
