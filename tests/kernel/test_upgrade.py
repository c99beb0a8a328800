"""A session runs what was installed when it started, whatever becomes of the files after that.

An upgrade removes them, and the command may be able to write them.
"""

import contextlib
import errno
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from relay.record.events import ConnectionServed, Fault, SessionStarted
from tests.support.command import program as at
from tests.support.command.asking import TLS, URL, answers, ask, keepline_of, serve_api
from tests.support.command.driver import inside
from tests.support.command.installed import install
from tests.support.command.keepline import Keepline
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.world import SERVER, Internet
from tests.support.machine.strace import failing

ECHO = 7

Change = Callable[[Path, Path], None]


def remove(folder: Path, _ran: Path) -> None:
    """Remove all of it."""
    shutil.rmtree(folder)


def rewrite(folder: Path, ran: Path) -> None:
    """Have each module tell that it has run, and then fail."""
    for file in folder.rglob("*.py"):
        text = f"open({str(ran)!r}, 'a').write(__name__ + '\\n'); raise SystemExit(3)\n"
        file.unlink()
        file.write_text(text)
    for cache in list(folder.rglob("__pycache__")):
        shutil.rmtree(cache)


@pytest.mark.parametrize("change", [remove, rewrite])
async def test_names_faults_and_the_end_are_as_installed(
    internet: Internet, nursery: trio.Nursery, tmp_path: Path, change: Change
) -> None:
    await nursery.start(serve, echo, listen(internet.server, SERVER, ECHO))
    keepline, ran = install(Keepline(internet), tmp_path / "installed"), tmp_path / "ran"
    async with inside(keepline) as program:
        await program.session.until(SessionStarted)
        change(keepline.installed, ran)
        (address,) = await program(at.look_up, "server.test", 2)
        number = await program(at.open_connection, address, ECHO)
        await program(at.send, number, b"?")
        assert await program(at.receive, number, 1) == b"?"
        relay, output = program.session.pid, tmp_path / "strace"
        async with failing(relay, "epoll_ctl", errno.ENOSPC, output):
            with contextlib.suppress(OSError):
                await program(at.open_connection, SERVER, ECHO)
        done = await program.session.end()
    assert not ran.exists(), ran.read_text()
    assert {fault.error for fault in done.all(Fault)} == {"OSError"}
    assert all(fault.traceback for fault in done.all(Fault)[:1])
    assert "See: keepline explain " in done.stderr


@pytest.mark.parametrize("change", [remove, rewrite])
async def test_the_gateway_is_as_installed(
    internet: Internet, nursery: trio.Nursery, tmp_path: Path, change: Change
) -> None:
    await serve_api(internet, nursery)
    keepline = install(keepline_of(internet, internet.authority), tmp_path / "installed")
    ran = tmp_path / "ran"
    script = f"read go; exec {shlex.join(ask('node', 'POST', f'{URL}/v1/messages'))}"
    async with keepline.start("sh", "-c", script, options=TLS) as session:
        await session.until(SessionStarted)
        change(keepline.installed, ran)
        done = await session.end(b"\n")
    assert not ran.exists(), ran.read_text()
    (answer,) = answers(done)
    assert (answer.status, answer.error, done.stderr) == (200, None, "")
    assert done.all(ConnectionServed)
    assert not done.all(Fault)


REWRITES = """
import pathlib, shutil, socket, sys
folder, ran = map(pathlib.Path, sys.argv[1:])
for file in folder.rglob("*.py"):
    file.unlink()
    file.write_text(f"open({str(ran)!r}, 'a').write(__name__ + '\\\\n')\\n")
for cache in list(folder.rglob("__pycache__")):
    shutil.rmtree(cache, ignore_errors=True)
try:
    print(socket.create_connection(("server.test", 7)).getpeername()[1])
except OSError as error:
    print(error)
"""


async def test_what_the_command_writes_is_not_run(
    internet: Internet, nursery: trio.Nursery, tmp_path: Path
) -> None:
    """The command writes it as soon as it runs, and then asks for a name."""
    await nursery.start(serve, echo, listen(internet.server, SERVER, ECHO))
    keepline, ran = install(Keepline(internet), tmp_path / "installed"), tmp_path / "ran"
    words = (sys.executable, "-I", "-S", "-c", REWRITES, str(keepline.installed), str(ran))
    done = await keepline.run(*words)
    assert not ran.exists(), ran.read_text()
    assert (done.stdout, done.stderr) == (b"7\n", "")
