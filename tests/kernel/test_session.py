"""A session ends as it should, whoever ends first; its record can be read meanwhile and after."""

import contextlib
import json
import os
import re
import signal
from pathlib import Path

import pytest
import trio

from netns import syscalls
from relay.record.events import (
    ConnectionClosed,
    ConnectionOpened,
    Dialled,
    FurtherNames,
    LeftBehind,
    LogFull,
    NameRefused,
    SessionEnded,
    SessionStarted,
)
from tests.support.command import program as at
from tests.support.command.driver import inside as driven
from tests.support.command.inside import inside
from tests.support.command.keepline import Keepline, Session
from tests.support.command.terminal import processes
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo
from tests.support.internet.wire import Capture
from tests.support.internet.world import CLIENT, NAMES, SERVER, Internet
from tests.support.pace import patience

ECHO = 7
SINK = 9
MIB = 1 << 20


@pytest.fixture
async def keepline(internet: Internet, nursery: trio.Nursery) -> Keepline:
    await nursery.start(serve, echo, listen(internet.server, SERVER, ECHO))
    return Keepline(internet)


async def gone(session: Session) -> int:
    """Wait for the relay's end alone: others may hold its pipes for longer."""
    with trio.fail_after(patience(10)):
        return await trio.to_thread.run_sync(session.process.wait, abandon_on_cancel=True)


async def until_reaped(session: Session) -> None:
    """Wait until the relay knows of the end of its command, which has ended."""
    with trio.fail_after(patience(10)):
        while "Z" in [process.state for process in await processes(session.pid)]:  # noqa: ASYNC110
            await trio.sleep(0.01)


async def child_of(pid: int) -> int:
    """Return the one child of a process."""
    _itself, child, *_below = await processes(pid)
    return child.pid


async def ended(pidfd: int) -> None:
    """Wait until the process has ended, zombies included, and close the descriptor."""
    try:
        with trio.fail_after(patience(10)):
            await trio.lowlevel.wait_readable(pidfd)
    finally:
        os.close(pidfd)


# The command ends first


class Counter:
    """A server that counts what it gets on each connection."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def __call__(self, stream: trio.SocketStream) -> None:
        self.sizes.append(sum([len(data) async for data in stream]))

    async def counted(self, *sizes: int) -> bool:
        """Wait until as many connections have ended: the kernel delivers in the background."""
        with trio.fail_after(patience(10)):
            while len(self.sizes) < len(sizes):  # noqa: ASYNC110
                await trio.sleep(0.01)
        return self.sizes == [*sizes]


async def test_what_a_command_sends_just_before_its_end_arrives(
    internet: Internet, keepline: Keepline, nursery: trio.Nursery
) -> None:
    counter = Counter()
    await nursery.start(serve, counter, listen(internet.server, SERVER, SINK))
    for address in (SERVER, "v4.test"):
        done = await keepline.run(*inside("send", address, str(SINK), "1000", ""), stdin=b"\n")
        closed = done.only(ConnectionClosed)
        assert (closed.by, closed.how, closed.sent) == ("program", "fin", 1000)
        assert done.stderr == ""
    assert await counter.counted(1000, 1000)


@pytest.mark.parametrize("size", [10, 300_000])
@pytest.mark.parametrize(("way", "connected"), [("tproxy", "yes"), ("redirect", "")])
async def test_what_a_command_sends_arrives_if_the_relay_sees_it_only_after_the_end(
    internet: Internet,
    keepline: Keepline,
    nursery: trio.Nursery,
    *,
    size: int,
    way: str,
    connected: str,
) -> None:
    """The larger size does not fit the receive buffer: the FIN is still with the sender.

    Where the kernel accepts first, even the connection may be made while the relay is stopped.
    """
    counter = Counter()
    await nursery.start(serve, counter, listen(internet.server, SERVER, SINK))
    command = inside("send", SERVER, str(SINK), str(size), connected)
    async with keepline.start(*command, options=["--intercept", way]) as session:
        assert await session.readline() == b"ready\n"
        await session.until(SessionStarted)
        session.process.send_signal(signal.SIGSTOP)
        pidfd = os.pidfd_open(await child_of(session.pid))
        session.write(b"\n")
        await ended(pidfd)
        session.process.send_signal(signal.SIGCONT)
        done = await session.end()
    assert await counter.counted(size)
    closed = done.only(ConnectionClosed)
    assert (closed.by, closed.how, closed.sent) == ("program", "fin", size)


async def test_a_process_left_behind_is_cut_off(keepline: Keepline) -> None:
    async with keepline.start(*inside("leave_behind", SERVER, str(ECHO))) as session:
        assert await session.readline() == b"left behind\n"
        assert await gone(session) == 4
        done = await session.end(b"\n")
    left = done.only(LeftBehind).processes
    assert [re.fullmatch(r"python\S* \(\d+\)", process) is not None for process in left] == [True]
    assert done.stderr == (
        f"keepline: left behind, without a network from now on: {left[0]};"
        " to stay until they have ended: keepline run --linger\n"
    )
    assert done.events[-2].text() in (await keepline.call("explain")).stdout.decode()
    reached, connect = done.stdout.decode().split()
    assert reached in {"ECONNRESET", "EPIPE"}
    assert connect == "ECONNREFUSED"
    closed = done.only(ConnectionClosed)
    assert (closed.by, closed.how) == ("keepline", "session-end")
    assert done.only(SessionEnded).status == 4


async def test_a_server_of_tmux_is_named_and_a_process_that_is_ending_is_not(
    keepline: Keepline,
) -> None:
    socket = f"keepline-{os.getpid()}"
    done = await keepline.run("tmux", "-L", socket, "new-session", "-d", "sleep 600")
    try:
        assert "tmux: server (" in done.stderr
        assert "sleep (" in done.stderr
    finally:
        await keepline.host.run_process(["tmux", "-L", socket, "kill-server"])
    done = await keepline.run("bash", "-c", "sleep 0.02 >/dev/null 2>&1 &")
    assert done.stderr == ""


async def test_with_linger_the_relay_stays_for_those_left_behind(keepline: Keepline) -> None:
    command = inside("leave_behind", SERVER, str(ECHO))
    async with keepline.start(*command, options=["--linger"]) as session:
        assert await session.readline() == b"left behind\n"
        assert session.process.poll() is None
        done = await session.end(b"\n")
    assert done.stdout == b"2\nconnected\n"
    assert (done.status, done.only(SessionEnded).status) == (4, 4)
    assert {closed.by for closed in done.all(ConnectionClosed)} == {"program"}


async def test_with_linger_a_signal_ends_the_wait(keepline: Keepline) -> None:
    command = inside("leave_behind", SERVER, str(ECHO))
    async with keepline.start(*command, options=["--linger"]) as session:
        assert await session.readline() == b"left behind\n"
        await until_reaped(session)
        session.process.send_signal(signal.SIGTERM)
        assert await gone(session) == 4
        done = await session.end(b"\n")
    assert done.stdout.decode().split()[1] == "ECONNREFUSED"


# The relay ends first


async def test_without_a_relay_nothing_leaves_and_the_command_is_told(
    internet: Internet, keepline: Keepline
) -> None:
    async with keepline.start(*inside("survive", SERVER, str(ECHO))) as session:
        assert await session.readline() == b"ready\n"
        with Capture(internet.access) as capture:
            session.process.kill()
            done = await session.end()
            sent = capture.packets(lambda packet: "IP" in packet and packet["IP"].src == CLIENT)
    assert done.status == 128 + signal.SIGKILL
    assert done.stdout == b"SIGHUP\nECONNREFUSED\nECONNREFUSED\n"
    assert sent == []


async def test_a_command_that_does_not_care_dies_with_the_relay(keepline: Keepline) -> None:
    async with keepline.start("cat") as session:
        session.write(b"\n")
        await session.readline()
        command = await child_of(session.pid)
        pidfd = os.pidfd_open(command)
        session.process.kill()
        await ended(pidfd)


# The record


async def test_a_live_session_is_shown_with_its_connections(keepline: Keepline) -> None:
    async with keepline.start(*inside("hold", "v4.test", str(ECHO))) as session:
        assert await session.readline() == b"?\n"
        dialled = await session.until(Dialled)
        assert session.log is not None
        name = session.log.stem

        shown = await keepline.call("status")
        assert shown.stdout.decode().splitlines()[0].startswith(f"{name}  ")
        assert shown.stdout.decode().splitlines()[0].endswith(f"(pid {session.pid})")
        assert shown.stdout.decode().splitlines()[1].split() == ["#1", f"v4.test:{ECHO}", SERVER]

        (state,) = json.loads((await keepline.call("status", "--json")).stdout)
        assert (state["session"], state["pid"]) == (name, session.pid)
        (connection,) = state["connections"].values()
        assert (connection["to"], connection["reached"]) == (f"v4.test:{ECHO}", dialled.address)

        text = (await keepline.call("log")).stdout.decode()
        assert f"#1 opened to v4.test:{ECHO}" in text
        assert f"#1 reached {SERVER} in " in text
        done = await session.end()

    assert (await keepline.call("status")).stdout == b"no live session\n"
    assert json.loads((await keepline.call("status", "--json")).stdout) == []
    by_name = await keepline.call("log", name)
    assert "#1 closed by program after" in by_name.stdout.decode()
    assert (
        by_name.stdout.decode()
        .splitlines()[-1]
        .split(None, 1)[1]
        .startswith("session ended with status 0 after")
    )
    as_it_is = await keepline.call("log", "--json")
    assert as_it_is.stdout == session.log.read_bytes()
    assert [json.loads(line)["event"] for line in as_it_is.stdout.splitlines()][-1] == (
        "session_ended"
    )
    assert len(done.all(ConnectionOpened)) == 1


async def test_a_session_whose_relay_was_killed_is_not_live_and_can_be_read(
    keepline: Keepline,
) -> None:
    async with keepline.start("cat") as session:
        await session.until(SessionStarted)
        assert b"no live session" not in (await keepline.call("status")).stdout
        session.process.kill()
        await session.end()
    assert (await keepline.call("status")).stdout == b"no live session\n"
    assert b" of cat started " in (await keepline.call("log")).stdout


async def test_the_log_can_be_piped_into_a_reader_that_stops(keepline: Keepline) -> None:
    await keepline.run("true")
    read, write = os.pipe()
    os.close(read)
    try:
        for arguments in (["log"], ["log", "--json"], ["status"], ["doctor"]):
            done = await keepline.call(*arguments, stdout=write)
            assert (done.status, done.stderr) == (0, ""), arguments
    finally:
        os.close(write)


async def test_the_log_is_bounded_and_its_end_is_told(keepline: Keepline) -> None:
    """What was denied has room when all that went well has none any more."""
    count = MIB // 300
    async with driven(keepline, options=["--log-limit", "1", "--deny", "denied.test"]) as program:
        assert await program(at.exchange_small, "server.test", ECHO, count, 8) == count
        with contextlib.suppress(OSError):
            await program(at.look_up, "denied.test")
        done = await program.session.end()
    (log,) = keepline.sessions.iterdir()
    assert MIB // 2 < log.stat().st_size < MIB
    full = done.events.index(done.only(LogFull))
    assert {type(event) for event in done.events[full + 1 : -1]} == {NameRefused}
    end = done.events[-1]
    assert isinstance(end, SessionEnded)
    opened, closed = end.omitted["connection_opened"], end.omitted["connection_closed"]
    assert opened + len(done.all(ConnectionOpened)) == count
    assert closed + len(done.all(ConnectionClosed)) == count


async def test_denials_do_not_fill_the_log(keepline: Keepline) -> None:
    count = 10_000
    done = await keepline.run(*inside("fill", NAMES, str(count)), options=["--deny", "*"])
    (log,) = keepline.sessions.iterdir()
    assert log.stat().st_size < 100_000
    apart, further = done.all(NameRefused), done.all(FurtherNames)
    assert len(apart) + further[-1].count == count
    told = (await keepline.call("explain")).stdout.decode()
    assert f" further names of {further[-1].zone}: denied ({further[-1].count} times" in told
    assert f"{count} denied" in told


async def test_the_log_is_the_owners_alone(keepline: Keepline) -> None:
    await keepline.run("true", umask=0)
    (log,) = keepline.sessions.iterdir()
    assert log.stat().st_mode & 0o777 == 0o600
    assert keepline.sessions.stat().st_mode & 0o777 == 0o700


async def test_arguments_and_payload_are_not_recorded(keepline: Keepline) -> None:
    await keepline.run("true", "argument-secret")
    (log,) = keepline.sessions.iterdir()
    assert "secret" not in log.read_text()


async def test_a_state_folder_that_cannot_be_written_to_gives_way_to_one_that_passes(
    keepline: Keepline, tmp_path: Path
) -> None:
    in_the_way, closed, passing = (tmp_path / name for name in ("file", "closed", "run"))
    in_the_way.touch()
    closed.mkdir(mode=0o555)
    passing.mkdir(mode=0o700)
    for folder in (in_the_way, closed) if os.getuid() else (in_the_way,):
        command = inside("connects", SERVER, str(ECHO))
        env = {"XDG_STATE_HOME": str(folder), "XDG_RUNTIME_DIR": str(passing)}
        done = await keepline.run(*command, env=env)
        assert done.stdout == b"connected\n"
        told = f"the record of this session is in {passing}/keepline: {folder} cannot be written to"
        assert done.stderr == f"keepline: {told}\n"
        explained = await keepline.call("explain", env=env)
        assert "Nothing was lost." in explained.stdout.decode()


async def test_a_folder_that_others_may_write_costs_the_log_alone(keepline: Keepline) -> None:
    keepline.sessions.mkdir(parents=True)
    keepline.sessions.chmod(0o777)
    done = await keepline.run(*inside("connects", SERVER, str(ECHO)))
    assert done.stdout == b"connected\n"
    (line,) = done.stderr.splitlines()
    assert line.startswith("keepline: no flight log for this session: ")


async def test_a_full_disk_costs_the_log_alone(
    internet: Internet, keepline: Keepline, tmp_path: Path
) -> None:
    state = keepline.folder / "state"
    state.mkdir()
    internet.client.call(lambda: syscalls.mount("tmpfs", str(state), "tmpfs", 0, "size=16k"))
    done = await keepline.run(*inside("fill", NAMES, "3000"), options=["--deny", "*"])
    (line,) = done.stderr.splitlines()
    assert "The record is not complete: No space left on device." in line


async def test_without_a_home_it_runs(keepline: Keepline) -> None:
    nobody = keepline.folder / "passwd"
    nobody.touch()
    keepline.host.call(lambda: syscalls.mount(str(nobody), "/etc/passwd", flags=syscalls.MS_BIND))
    argv = keepline.argv("run", "--", *inside("connects", SERVER, str(ECHO)))
    done = await keepline.host.run_process(argv, env={"PATH": os.environ["PATH"]}, check=False)
    assert (done.returncode, done.stdout) == (0, b"connected\n"), done.stderr
