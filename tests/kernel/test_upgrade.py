"""A session goes on when what is installed is removed, as an upgrade does first."""

import contextlib
import errno
import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import trio

from relay.record.events import ConnectionServed, Fault, SessionStarted
from tests.support.command import program as at
from tests.support.command.asking import TLS, URL, answers, ask, keepline_of, serve_api
from tests.support.command.driver import inside
from tests.support.command.keepline import Keepline
from tests.support.faults.injector import ROOT
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.world import SERVER, Internet
from tests.support.machine.strace import failing
from tests.support.pace import patience

ECHO = 7
BASE = Path(sys.executable).resolve()  # not the one of a virtual environment
NEEDED = (
    *("attr", "attrs", "dns", "h11", "h2", "hpack", "hyperframe", "idna", "msgspec", "outcome"),
    *("pyroute2", "sniffio", "sortedcontainers", "trio"),
)
START = "import sys; sys.path[:0] = [{!r}]; from relay.__main__ import main; sys.exit(main())"


class Installed(Keepline):
    """A keepline that is installed in a folder of its own."""

    installed: Path

    def argv(self, *arguments: str) -> list[str]:  # type: ignore[override] # it has one of its own
        start = START.format(str(self.installed))
        return [str(BASE), "-I", "-S", "-c", start, *arguments]


def install(keepline: Keepline, folder: Path) -> Installed:
    """Copy keepline and all that it needs."""
    for name in NEEDED:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        shutil.copytree(Path(spec.origin).parent, folder / name)
    for name in ("netns", "relay"):
        shutil.copytree(ROOT / name, folder / name)
    keepline.__class__ = Installed
    assert isinstance(keepline, Installed)
    keepline.installed = folder
    return keepline


async def removed(keepline: Installed) -> None:
    """Remove it, a second after a session has started."""
    await trio.sleep(patience(1))
    shutil.rmtree(keepline.installed)


async def test_names_faults_and_the_end_need_no_file_any_more(
    internet: Internet, nursery: trio.Nursery, tmp_path: Path
) -> None:
    await nursery.start(serve, echo, listen(internet.server, SERVER, ECHO))
    keepline = install(Keepline(internet), tmp_path / "installed")
    async with inside(keepline) as program:
        await program.session.until(SessionStarted)
        await removed(keepline)
        (address,) = await program(at.look_up, "server.test", 2)
        number = await program(at.open_connection, address, ECHO)
        await program(at.send, number, b"?")
        assert await program(at.receive, number, 1) == b"?"
        relay, output = program.session.pid, tmp_path / "strace"
        async with failing(relay, "epoll_ctl", errno.ENOSPC, output):
            with contextlib.suppress(OSError):
                await program(at.open_connection, SERVER, ECHO)
        done = await program.session.end()
    assert {fault.error for fault in done.all(Fault)} == {"OSError"}
    assert all(fault.traceback for fault in done.all(Fault)[:1])
    assert "See: keepline explain " in done.stderr


async def test_the_gateway_needs_no_file_any_more(
    internet: Internet, nursery: trio.Nursery, tmp_path: Path
) -> None:
    await serve_api(internet, nursery)
    keepline = install(keepline_of(internet, internet.authority), tmp_path / "installed")
    script = f"read go; exec {shlex.join(ask('node', 'POST', f'{URL}/v1/messages'))}"
    async with keepline.start("sh", "-c", script, options=TLS) as session:
        await session.until(SessionStarted)
        await removed(keepline)
        done = await session.end(b"\n")
    (answer,) = answers(done)
    assert (answer.status, answer.error, done.stderr) == (200, None, "")
    assert done.all(ConnectionServed)
    assert not done.all(Fault)
