"""Descriptors that the caller passes on reach the command, and no way past the relay does."""

import os
import shlex
import socket
import subprocess
from pathlib import Path

import pytest
import trio

from tests.support.command.inherits import inherits
from tests.support.command.keepline import Keepline
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.world import SERVER, Internet
from tests.support.pace import patience

ECHO = 7

MAKEFILE = """
all:
\t+@$(PREFIX) $(MAKE) --no-print-directory parts
parts: a b
a: ; @echo waiting >pipe; echo a
b: ; @read line <pipe; echo $$line
"""
"""Its parts end if both are made at a time."""

PARENT = """
const { spawn } = require('child_process')
const argv = [...process.argv.slice(2), 'node', '-e', CHILD]
const child = spawn(argv[0], argv.slice(1), { stdio: ['inherit', 'inherit', 'inherit', 'ipc'] })
child.on('message', answer => { console.log('child says', answer); child.disconnect() })
child.send('question')
""".replace("CHILD", repr("process.on('message', m => process.send(m + ' answered'))"))

SHELL = """
"$@" cat <(echo read)
"$@" bash -c 'echo written >&9' 9> >(cat)
wait $!
(exec 9>lock; flock 9; "$@" true)
flock --nonblock lock echo free
exec 9>lock; flock 9
"$@" bash -c 'flock --nonblock lock true || echo locked; flock --nonblock 9 && echo mine'
"""


@pytest.fixture
def keepline(internet: Internet) -> Keepline:
    return Keepline(internet)


async def both(keepline: Keepline, folder: Path, *program: str) -> str:
    """Run a program whose arguments are what runs a command: nothing, and keepline.

    Return what both say alike.
    """
    said = []
    for prefix in ([], keepline.argv("run", "--")):
        argv = [*program, *prefix]
        with trio.fail_after(patience(30)):
            done = await keepline.host.run_process(
                argv, env=keepline.environment, cwd=folder, stderr=subprocess.STDOUT, check=False
            )
        assert done.returncode == 0, done.stdout
        said.append(done.stdout.decode())
    assert said[0] == said[1]
    return said[1]


async def test_the_jobserver_of_make(keepline: Keepline, tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(MAKEFILE)
    os.mkfifo(tmp_path / "pipe")
    said = []
    for prefix in ([], keepline.argv("run", "--")):
        argv = ["make", "--no-print-directory", "-j2", f"PREFIX={' '.join(prefix)}"]
        with trio.fail_after(patience(30)):
            done = await keepline.host.run_process(
                argv, env=keepline.environment, cwd=tmp_path, stderr=subprocess.STDOUT
            )
        said.append(sorted(done.stdout.decode().split()))
    assert said == [["a", "waiting"]] * 2


async def test_process_substitution_and_locks_of_a_shell(
    keepline: Keepline, tmp_path: Path
) -> None:
    said = await both(keepline, tmp_path, "bash", "-c", SHELL, "shell")
    assert said.split() == ["read", "written", "free", "locked", "mine"]


async def test_the_ipc_of_node(keepline: Keepline, tmp_path: Path) -> None:
    (tmp_path / "parent.js").write_text(PARENT)
    said = await both(keepline, tmp_path, "node", "parent.js")
    assert said == "child says question answered\n"


async def test_a_socket_of_systemd(keepline: Keepline, tmp_path: Path) -> None:
    for name, prefix in (("bare", []), ("under", keepline.argv("run", "--"))):
        folder = tmp_path / name
        folder.mkdir()
        done = await keepline.host.run_process(
            inherits("activate", *prefix, *inherits("activated")),
            env=keepline.environment,
            cwd=folder,
        )
        assert done.stdout == b"served"


async def test_what_leads_past_the_relay_is_closed_and_named(
    internet: Internet, keepline: Keepline, nursery: trio.Nursery
) -> None:
    await nursery.start(serve, echo, listen(internet.server, SERVER, ECHO))
    done = await keepline.host.run_process(
        inherits("with_network", SERVER, str(ECHO), *keepline.argv("run"), *inherits("listed")),
        env=keepline.environment,
    )
    assert done.stdout == b"40 socket\n"
    (line,) = done.stderr.decode().splitlines()
    begin = "keepline: descriptors that lead past the relay are not passed on: "
    assert line.startswith(begin)
    first, second, *others = line.removeprefix(begin).split("; ")
    assert first == f"20, a socket of AF_INET to {SERVER} port {ECHO}"
    assert second.startswith("21, a socket of AF_INET at 127.0.0.1 port ")
    assert others == [
        "22, a socket of AF_INET6 at :: port 0",
        "23, a socket of AF_NETLINK",
        "30, a network namespace",
    ]


@pytest.fixture
async def echoing(internet: Internet, nursery: trio.Nursery) -> None:
    await nursery.start(serve, echo, listen(internet.server, SERVER, ECHO))


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("kind", ["connected", "udp"])
async def test_a_socket_of_the_host_as_a_standard_stream_is_not_re_aimed(
    echoing: None, keepline: Keepline, tmp_path: Path, kind: str, number: int
) -> None:
    at = (SERVER, str(ECHO))
    attack = inherits("re_aims", str(number), *at)
    done = await keepline.host.run_process(
        inherits("as_stream", str(number), kind, *at, *keepline.argv("run", "--"), *attack),
        env=keepline.environment,
        cwd=tmp_path,
        check=False,
    )
    assert not (tmp_path / "re_aimed").exists()
    assert done.returncode == 125


STREAMS = {
    "connected": f"a socket of AF_INET to {SERVER} port {ECHO}",
    "udp": "a socket of AF_INET at 0.0.0.0 port 0",
    "netlink": "a socket of AF_NETLINK",
    "net": "a network namespace",
    "user": "a user namespace",
}
if os.getuid() == 0:
    STREAMS["packet"] = "a socket of AF_PACKET"


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("kind", STREAMS)
async def test_a_standard_stream_that_leads_past_the_relay_is_refused_with_what_to_do(
    echoing: None, keepline: Keepline, kind: str, number: int
) -> None:
    command = [*keepline.argv("run", "--"), "touch", str(keepline.folder / "has run")]
    done = await keepline.host.run_process(
        inherits("as_stream", str(number), kind, SERVER, str(ECHO), *command),
        env=keepline.environment,
        check=False,
    )
    name = ("stdin", "stdout")[number]
    assert (done.returncode, done.stderr.decode()) == (
        125,
        f"keepline: {name} is {STREAMS[kind]}, a way past the relay\n"
        "  try: put pipes between: sh -c 'cat | keepline run -- COMMAND 2>&1 | cat'\n",
    )
    assert not (keepline.folder / "has run").exists()
    assert not keepline.sessions.exists()


async def test_with_pipes_between_a_connection_is_served(
    internet: Internet, keepline: Keepline
) -> None:
    """As inetd starts a server: the connection is stdin, stdout and stderr."""
    with internet.client:
        listener = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(listener.getsockname())
    served, _peer = listener.accept()
    command = shlex.join(keepline.argv("run", "--", "sed", "s/a/b/g"))
    with listener, client, served:
        started = keepline.host.popen(
            ["sh", "-c", f"cat | {command} 2>&1 | cat"],
            env=keepline.environment,
            **dict.fromkeys(("stdin", "stdout", "stderr"), served),
        )
        client.sendall(b"aha\n")
        client.shutdown(socket.SHUT_WR)
        client.settimeout(patience(30))
        assert await trio.to_thread.run_sync(client.recv, 100) == b"bhb\n"
    assert await trio.to_thread.run_sync(started.wait) == 0


async def test_a_unix_socket_is_passed_as_a_standard_stream(keepline: Keepline) -> None:
    command = [*keepline.argv("run", "--"), "stat", "-L", "-c", "%F", "/proc/self/fd/0"]
    done = await keepline.host.run_process(
        inherits("as_stream", "0", "unix", SERVER, str(ECHO), *command), env=keepline.environment
    )
    assert done.stdout == b"socket\n"


async def test_whoever_writes_to_a_command_is_told_when_it_reads_no_more(
    keepline: Keepline, tmp_path: Path
) -> None:
    command = ["bash", "-c", "exec <&-; sleep 60"]
    for prefix in ([], keepline.argv("run", "--")):
        done = await keepline.host.run_process(
            inherits("until_unheard", *prefix, *command), env=keepline.environment, cwd=tmp_path
        )
        assert done.stdout == b"nobody reads\n"
