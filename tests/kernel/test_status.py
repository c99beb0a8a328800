"""The command's status is passed on, whatever else fails at the end."""

import os
import signal
import subprocess
from collections.abc import Sequence
from typing import Final

import pytest
import trio

from netns import syscalls
from relay.sockets import resets_on_close
from tests.support.command.inside import inside
from tests.support.command.keepline import Keepline
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.world import NAMES, SERVER, Internet
from tests.support.pace import patience

CUT: Final = 80
THREE: Final = 3
LOST: Final = f"exec 3<>/dev/tcp/{SERVER}/{CUT}; echo >&3; cat <&3; exit {THREE}"
"""A loss, so that there is something to say at the end."""


async def cut(stream: trio.SocketStream) -> None:
    """Answer with half of it and a reset."""
    await stream.receive_some()
    await stream.send_all(b"half")
    resets_on_close(stream.socket)  # type: ignore[arg-type]


@pytest.fixture
async def keepline(internet: Internet, nursery: trio.Nursery) -> Keepline:
    await nursery.start(serve, cut, listen(internet.server, SERVER, CUT))
    return Keepline(internet)


async def ends(argv: Sequence[str], keepline: Keepline, **popen: object) -> int:
    """Run it to its end, with its stderr for us to close, and give its status."""
    with keepline.host.popen(argv, env=keepline.environment, **popen) as process:
        with trio.fail_after(patience(30)):
            return await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)


async def test_a_loss_is_said(keepline: Keepline) -> None:
    done = await keepline.run("bash", "-c", LOST, check=False)
    assert done.status == THREE
    assert done.stderr.count("1 visible") == 1


async def test_a_caller_that_ignores_sigchld(keepline: Keepline) -> None:
    """Its children would be forgotten by the kernel, status and all."""

    def ignore() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    done = await keepline.run("sh", "-c", "exit 3", check=False, preexec_fn=ignore)
    assert (done.status, done.stderr) == (THREE, "")


async def test_nobody_reads_stderr_any_more(keepline: Keepline) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    argv = keepline.argv("run", "--", "bash", "-c", LOST)
    status = await ends(argv, keepline, stderr=writer, stdout=subprocess.DEVNULL)
    os.close(writer)
    assert status == THREE


async def test_the_record_is_gone_at_the_end(keepline: Keepline) -> None:
    command = f"rm {keepline.sessions}/*.jsonl; {LOST}"
    done = await keepline.run("bash", "-c", command, check=False)
    assert done.status == THREE
    assert "Traceback" not in done.stderr


async def test_a_record_that_is_not_complete_is_said_to_be(
    internet: Internet, keepline: Keepline
) -> None:
    state = keepline.folder / "state"
    state.mkdir()
    internet.client.call(lambda: syscalls.mount("tmpfs", str(state), "tmpfs", 0, "size=16k"))
    done = await keepline.run(*inside("fill", NAMES, "3000"), options=["--deny", "*"])
    (line,) = done.stderr.splitlines()
    assert line.startswith("keepline: The record is not complete: No space left on device. See: ")
