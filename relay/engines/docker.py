"""`keepline docker run`: the container has no network, and keepline inside it a relay outside.

Docker lets no container join a namespace by its path, so keepline has to be in the image, and the
command to be run by it: `keepline docker run IMAGE keepline run -- COMMAND`. What is run otherwise
has no network at all. The relay, and its socket, are this container's alone and end with it. The
folder of the socket is mounted to be read: connect(2) needs no more, and what a container's root
left there could not be removed by an ordinary user.
"""

import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from netns import syscalls
from netns.errors import KeeplineError
from relay.engines import command

_INSIDE: Final = "/run/keepline"
_NAME: Final = "relay.sock"
_POLL: Final = 0.02
_PATIENCE: Final = 30.0
"""Seconds for the relay to end: it delivers what was sent last."""


def main(arguments: Sequence[str]) -> int:
    """Run a container beside a relay of its own; return its status."""
    asked = command.asked("docker", arguments)
    with _relay(asked.settings) as folder:
        sealed = ["--network=none", "--cap-add=NET_ADMIN", f"--volume={folder}:{_INSIDE}:ro"]
        sealed += [f"--env=KEEPLINE_RELAY={_INSIDE}/{_NAME}"]
        sealed += asked.run.named(secrets.token_hex(6))
        return command.status_of(["docker", "run", *sealed, *asked.run.words])


@contextmanager
def _relay(settings: Sequence[str]) -> Iterator[Path]:
    """Start a relay, and yield the folder of its socket; raises KeeplineError.

    Its kernel asks it to end when this process has ended, however; then the container, if that
    goes on, is refused everything.
    """
    above = os.environ.get("XDG_RUNTIME_DIR", "")
    if not os.access(above, os.W_OK | os.X_OK):
        above = tempfile.gettempdir()
    parent = os.getpid()
    with tempfile.TemporaryDirectory(prefix="keepline-", dir=above) as name:
        path = Path(name, _NAME)
        argv = command.own("relay", f"--socket={path}", *settings)
        with subprocess.Popen(  # noqa: S603 - our own
            argv,
            start_new_session=True,
            preexec_fn=lambda: _end_with(parent),  # noqa: PLW1509 - there is one thread
        ) as relay:
            try:
                while not path.is_socket():
                    if relay.poll() is not None:
                        raise KeeplineError(
                            "the relay has not started", "see its own message above"
                        )
                    time.sleep(_POLL)
                yield Path(name)
            finally:
                relay.terminate()
                try:
                    relay.wait(_PATIENCE)
                except subprocess.TimeoutExpired:
                    relay.kill()


def _end_with(parent: int) -> None:
    """Have this process asked to end when its parent has ended, prctl(2); it may have by now."""
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
