"""A call to the kernel that fails costs a connection, a question or an event; never the session.

First every call that the relay makes, in a relay of this test's own (tests/support/faults); then
some of them in a real session, whose system calls strace has fail.
"""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import dns.message
import pytest
import trio

from tests.support.command import program as at
from tests.support.command.driver import Program, eventually, inside
from tests.support.command.keepline import Keepline
from tests.support.faults.injector import ROOT
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo, source
from tests.support.internet.world import NAMES, SERVER, Internet
from tests.support.machine.strace import failing

ECHO: Final = 7
SOURCE: Final = 19
MIB: Final = 1 << 20


async def connects(program: Program) -> None:
    await program(at.send, await program(at.open_connection, SERVER, ECHO), b"?")


async def asks(program: Program) -> None:
    await program(at.look_up, "two.test")


async def asks_in_vain(program: Program) -> None:
    """Ask what libc would ask again only after its time-out, when the answer is lost."""
    query = dns.message.make_query("two.test", "A").to_wire()
    assert not await program(at.is_answered, NAMES, query, 1)


async def downloads(program: Program) -> None:
    await program(at.download, SERVER, SOURCE, 4 * MIB)


async def is_signalled(program: Program) -> None:
    """Be sent what the command ignores, unless it asks for it; what became of it is looked at."""
    os.kill(program.session.pid, signal.SIGWINCH)


FAULTS: Final[list[tuple[str, int, Callable[[Program], Awaitable[None]]]]] = [
    ("accept4", errno.EMFILE, connects),
    ("socket", errno.EMFILE, connects),
    ("socket", errno.ENFILE, asks),
    ("connect", errno.ENETDOWN, connects),
    ("setsockopt", errno.EPERM, connects),
    ("getsockopt", errno.EINVAL, connects),
    ("getsockname", errno.ENOBUFS, connects),
    ("recvfrom", errno.ETIMEDOUT, connects),
    ("recvmsg", errno.ENOMEM, asks),
    ("sendmsg", errno.EIO, asks_in_vain),
    ("sendto", errno.ENOBUFS, connects),
    ("epoll_ctl", errno.ENOSPC, connects),
    ("splice", errno.EIO, downloads),
    ("pipe2", errno.EMFILE, downloads),
    ("shutdown", errno.ENETDOWN, downloads),
    ("close", errno.EIO, downloads),
    ("write", errno.ENOSPC, connects),
    ("openat", errno.EROFS, asks),
    ("read", errno.EIO, is_signalled),
    ("wait4", errno.EINVAL, is_signalled),
]


@pytest.mark.as_user_alone("the relay runs in a world of this test's own, whoever the caller is")
def test_no_call_that_fails_ends_the_session() -> None:
    """Each call with each errno, some thousand runs; scripts/faults shows what came of them."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.faults"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        cwd=ROOT,
    )
    sys.stdout.write(done.stdout)
    assert done.returncode == 0, done.stdout


@pytest.fixture
async def keepline(internet: Internet, nursery: trio.Nursery) -> Keepline:
    for handler, port in ((echo, ECHO), (source, SOURCE)):
        await nursery.start(serve, handler, listen(internet.server, SERVER, port))
    return Keepline(internet)


@pytest.mark.parametrize(
    ("call", "number", "do"),
    FAULTS,
    ids=[f"{call}-{errno.errorcode[number]}" for call, number, _do in FAULTS],
)
async def test_a_session_goes_on_after_system_calls_that_fail(
    keepline: Keepline,
    tmp_path: Path,
    call: str,
    number: int,
    do: Callable[[Program], Awaitable[None]],
) -> None:
    async with inside(keepline, options=["--patience", "5"]) as program:
        before = await program(at.open_connection, SERVER, ECHO)
        await program(at.send, before, b"1")
        assert await program(at.receive, before, 1) == b"1"
        async with failing(program.session.pid, call, number, tmp_path / "strace") as faults:
            with suppress(OSError):
                await do(program)
            await eventually(lambda: faults.count > 0)
        await program(at.send, before, b"2")
        assert await program(at.receive, before, 1) == b"2"
        await program(at.look_up, "server.test")
        after = await program(at.open_connection, SERVER, ECHO)
        await program(at.send, after, b"3")
        assert await program(at.receive, after, 1) == b"3"
        done = await program.session.end()
    assert done.status == 0, done.stderr
