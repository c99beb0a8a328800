"""No other process of the user looks into a relay: its memory, its descriptors, its environment.

Root outside can; one without capabilities stands for a user here.
"""

import os
import subprocess
import sys
from pathlib import Path

import trio

from tests.support.command import prying
from tests.support.command.keepline import Keepline
from tests.support.command.programs import needs
from tests.support.internet.world import Internet

PRY = (sys.executable, "-I", str(Path(prying.__file__)))
WITHOUT_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--securebits=+noroot")


def powerless() -> tuple[str, ...]:
    """Return the words that start a program without capabilities."""
    return WITHOUT_CAPABILITIES if os.getuid() == 0 else ()


async def pried(pid: int) -> bytes:
    """Return which ways into a process are open to another of the user, outside."""
    words = [*powerless(), *PRY, str(pid)]
    return (await trio.run_process(words, capture_stdout=True)).stdout


def children(pid: int) -> dict[str, int]:
    """Return the children of a process by their names."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {Path(f"/proc/{each}/comm").read_text().strip(): int(each) for each in found}


async def test_the_command_cannot_look_into_the_relay(internet: Internet) -> None:
    done = await Keepline(internet).run("sh", "-c", 'exec "$@" $PPID', "sh", *PRY)
    assert (done.stdout, done.stderr) == (b"", "")


async def test_another_process_of_the_user_cannot_either(internet: Internet) -> None:
    keepline = Keepline(internet)
    async with keepline.start(needs("cat")) as session:
        session.write(b"it runs\n")
        assert await session.readline() == b"it runs\n"
        own = children(session.pid)
        assert set(own) == {"cat", "signal-witness", "socket-maker"}
        assert await pried(session.pid) == b""
        for name in ("signal-witness", "socket-maker"):
            assert await pried(own[name]) == b""
        state = await keepline.call("status")
        assert str(session.pid) in state.stdout.decode()
        await session.end()


async def test_what_is_tried_works_where_it_may(internet: Internet) -> None:
    words = [*powerless(), needs("sh"), "-c", "echo; read line"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with internet.client.popen(words, **pipes) as waiting:
        assert waiting.stdout is not None
        assert await trio.to_thread.run_sync(waiting.stdout.readline) == b"\n"
        assert await pried(waiting.pid) == "".join(f"{way}\n" for way in prying.WAYS).encode()
        waiting.kill()
