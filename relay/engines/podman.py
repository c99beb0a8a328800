"""`keepline podman run`: the container joins the network namespace of a session of its own.

Nothing of keepline is in the container, whatever its image is. A session is started with a command
that does nothing but hold the namespace open; it ends when this process has ended, however. An
ordinary user's is started below podman's own user namespace, or its containers could not join it.

podman sends no packet for a container that joins a namespace by its path, and publishes no port:
that is the session's work.
"""

import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from netns.errors import KeeplineError
from relay.engines import command

_HOLDER: Final = ("sh", "-c", "echo $$; exec cat >/dev/null")
"""Tells its process id, and lasts until its stdin ends."""

_WAITS: Final = ("--dns-option=timeout:30", "--dns-option=attempts:5")
"""How long names are waited for, as in the resolv.conf of a session."""

_PATIENCE: Final = 30.0
"""Seconds for the session to end: it delivers what was sent last."""


def main(arguments: Sequence[str]) -> int:
    """Run a container in a session; return its status."""
    asked = command.asked("podman", arguments)
    with _held(asked.settings) as pid:
        network = f"--network=ns:/proc/{pid}/ns/net"
        given = (network, *_WAITS, *asked.run.named(secrets.token_hex(6)))
        return command.status_of(["podman", "run", *given, *asked.run.words])


@contextmanager
def _held(settings: Sequence[str]) -> Iterator[int]:
    """Start a session, and yield the id of a process in its namespace; raises KeeplineError.

    It is no process of the terminal's foreground group: Ctrl-C is the container's.
    """
    below = () if command.runs_as_root() else ("podman", "unshare")
    argv = [*below, *command.own("run", *settings, "--", *_HOLDER)]
    pipe = subprocess.PIPE
    try:
        session = subprocess.Popen(argv, stdin=pipe, stdout=pipe, start_new_session=True)  # noqa: S603 - our own
    except OSError as error:
        raise KeeplineError(
            f"{argv[0]} cannot be started: {error.strerror}", f"install {argv[0]}"
        ) from error
    with session:
        assert session.stdin is not None
        assert session.stdout is not None
        try:
            line = session.stdout.readline()
            if not line:
                session.stdin.close()
                session.wait()
                raise KeeplineError("the session has not started", "see its own message above")
            yield int(line)
        finally:
            session.stdin.close()
            try:
                session.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                session.kill()
