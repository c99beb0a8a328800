"""A whole session, from the moment in which its command starts to its exit status."""

import contextlib
import os
import signal
import tempfile
from pathlib import Path
from typing import Final

from netns.handoff import Listeners
from netns.plan import Plan
from netns.process import members
from netns.process.socket_maker import SocketMaker
from netns.sandbox import Sandbox
from relay import session
from relay.command.beside import Beside
from relay.command.witness import Witness
from relay.config import Sources
from relay.record.files import sessions_folder
from tests.support.faults.injector import INJECTOR
from tests.support.faults.world import ECHO, NOWHERE, Namespace, World

_STATUS: Final = 7
_SCRIPT: Final = f"""
trap '' USR1
kill -USR1 $PPID
2>/dev/null >/dev/null exec 3<>/dev/tcp/{NOWHERE}/{ECHO} &
sleep 0.05
exit {_STATUS}
"""
"""It signals keepline alone, so that a signal is passed on. A dial is held, so that the session has
something to tell at its end; whoever dials is left behind."""

_HELD: Final = {signal.SIGUSR1}
"""What the script sends must find keepline holding it, however early it comes."""


class _Command(Sandbox):
    """A command in a namespace that was built before: its end is met as any other's."""

    def __init__(self, namespace: Namespace) -> None:
        self.steps = []
        self.withheld = ()
        self.init = 0
        self._lifeline = self._init_fd = self._command_fd = None
        self._namespace = namespace

    def build(self, plan: Plan) -> None:
        """Start the command: from now on any call may fail."""
        self.made = self._namespace.listeners()
        self._others = self._there()
        self.pid = self._namespace.inside(
            lambda: os.posix_spawnp(plan.command[0], list(plan.command), os.environ)
        )

    def release(self) -> None:
        """Do nothing: it runs already."""

    def listeners(self) -> Listeners:
        """Return those of the namespace, where signals are held but for the alarm of runs.py."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        INJECTOR.is_on = True
        return self.made

    def clear(self) -> None:
        """Kill what is there of it, and close the listeners."""
        for pid in self._there() - self._others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        self.made.close()

    def _there(self) -> set[int]:
        return {each.pid for each in members.members(self.made.dns_udp)}


def whole_session(world: World) -> None:
    """Run one; raises whatever the session raises, and AssertionError if it hides the status."""
    handlers = {number: signal.getsignal(number) for number in (2, 3, 20)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    streams = [os.dup(fd) for fd in (0, 1)]  # which a session lets go of
    command = _Command(world.tproxy)
    said: list[str] = []
    with tempfile.TemporaryDirectory(dir=world.folder) as folder:
        os.environ["XDG_STATE_HOME"] = folder
        _leave_behind(sessions_folder(os.environ))
        witness = Witness()
        try:
            with contextlib.ExitStack() as ending:
                ending.callback(witness.end)
                words = "bash", "-c", _SCRIPT
                beside = Beside(witness, SocketMaker())
                status = session.run(command, Sources(), words, said.append, beside)
        finally:
            INJECTOR.is_on = False
            command.clear()
            world.tproxy.empty()
            del os.environ["XDG_STATE_HOME"]
            signal.sigtimedwait(_HELD, 0)  # a session that met a fault may not have read it
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for fd, kept in enumerate(streams):
                os.dup2(kept, fd)
                os.close(kept)
            for number, handler in handlers.items():
                signal.signal(number, handler)
    assert status.status == _STATUS, f"{status}: {said}"


def _leave_behind(folder: Path) -> None:
    """Leave what a session that was killed leaves, for the next one to remove."""
    folder.mkdir(parents=True)
    for name in ("20260101-000000-1.jsonl", "20260101-000000-1.pem"):
        (folder / name).touch()
    orphan = folder / "20260101-000001-1.pem"
    orphan.touch()
    os.utime(orphan, (0, 0))
