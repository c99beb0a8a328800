"""--strict: programs that people use work in it, as they do without."""

import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import trio

from tests.support.command import clients
from tests.support.command.keepline import Keepline
from tests.support.command.programs import needs
from tests.support.command.terminal import Terminal
from tests.support.internet.servers.http import Exchange
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.world import SERVER, Internet

CLIENTS: Final = Path(clients.__file__).parent
NAME: Final = "server.test"
OPTIONS: Final = ("--strict", "--allow", NAME)


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    return Keepline(internet)


async def answer(stream: trio.abc.Stream) -> None:
    """Tell each request's path."""
    exchange = Exchange(stream)
    while (request := await exchange.read_request()) is not None:
        await exchange.send_text("200 OK", request.path)
        if request.wants_close():
            return


@pytest.mark.parametrize(
    "argv",
    [
        ("curl", "-s", f"http://{NAME}/0"),
        ("node", "fetch.mjs", f"http://{NAME}", "1"),
        ("bun", "fetch.mjs", f"http://{NAME}", "1"),
        (sys.executable, "fetch.py", f"http://{NAME}", "1"),
    ],
    ids=["curl", "node", "bun", "python"],
)
async def test_fetching(
    internet: Internet, nursery: trio.Nursery, keepline: Keepline, argv: Sequence[str]
) -> None:
    for script in ("fetch.mjs", "fetch.py"):  # the working folder is what the program sees of /tmp
        shutil.copy(CLIENTS / script, keepline.folder)
    await nursery.start(partial(serve, answer, listen(internet.server, SERVER, 80)))
    done = await keepline.run(needs(argv[0]), *argv[1:], options=OPTIONS, cwd=keepline.folder)
    assert (done.stdout.strip(), done.stderr) == (b"/0", "")


BUILD: Final = """
set -e
git init -q repository && cd repository
printf 'all: a b c d\\na b c d:\\n\\t@sleep 0.1; echo made >$@\\n' >Makefile
make -sj4
git add .
git -c user.name=x -c user.email=x@example.test commit -qm first
git clone -q . ../copy && cd ../copy && git log --format=%s && ls
"""


async def test_git_and_a_make_with_jobs(keepline: Keepline) -> None:
    for program in ("git", "make"):
        needs(program)
    done = await keepline.run("sh", "-c", BUILD, options=OPTIONS, cwd=keepline.folder)
    assert done.stdout.split() == [b"first", b"Makefile", b"a", b"b", b"c", b"d"]


async def test_tmux_inside(keepline: Keepline) -> None:
    words = ["-f", "/dev/null", "new-session", "-A", "-s", "inner", "sh"]
    command = ["env", "-u", "TMUX", needs("tmux"), *words]
    shell = keepline.argv("run", *OPTIONS, "--", *command)
    async with Terminal(keepline.host, keepline.folder, keepline.environment, shell) as terminal:
        await terminal.shows("^[$#] ")
        await terminal.line("echo terminal: $(tty)")
        await terminal.shows("^terminal: /dev/pts/0")
        await terminal.line("exit")
        await terminal.shows(r"^\[exited\]")


async def test_keepline_in_a_strict_one(keepline: Keepline, pytestconfig: pytest.Config) -> None:
    """An ordinary user makes nested user namespaces as ever; root cannot, and is told why."""
    nested = keepline.argv("run", "--", "sh", "-c", "echo nested")
    done = await keepline.run(*nested, options=OPTIONS, check=False)
    if pytestconfig.getoption("act_as") == "root":
        assert done.status == 125
        assert "user namespace: " in done.stderr
    else:
        assert (done.stdout, done.status) == (b"nested\n", 0)
