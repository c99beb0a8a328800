"""keepline ends when its command has: what was said last is delivered, and nothing else awaited."""

import os
import signal
import time
from dataclasses import dataclass, field

import pytest
import trio

from relay.record.events import ConnectionClosed, SessionStarted
from tests.support.command.ends import ends
from tests.support.command.keepline import Done, Keepline
from tests.support.command.terminal import processes
from tests.support.internet.servers.listening import listen, serve
from tests.support.internet.servers.plain import echo, source
from tests.support.internet.world import SERVER, Internet
from tests.support.pace import patience, within

ECHO, SOURCE, DEAF, STILL, SLOW, FAREWELL = 7, 19, 80, 81, 82, 83
SILENT = "198.51.100.10"
AT_ONCE = 0.3
STALLED = 1.5
SLOWLY = 3.0
MUCH = 40 << 20


async def deaf(_stream: trio.SocketStream) -> None:
    """Never read, and never close."""
    await trio.sleep_forever()


async def still(stream: trio.SocketStream) -> None:
    """Answer once, read all, and never close."""
    await stream.receive_some()
    await stream.send_all(b"!")
    async for _ in stream:
        pass
    await trio.sleep_forever()


@dataclass
class Counter:
    """A server that counts what it gets, with a pause after each piece."""

    pause: float = 0
    speaks_first: bool = False
    """Whether it says its own last word before all."""
    got: int = 0
    end: str = ""
    ended: trio.Event = field(default_factory=trio.Event)

    async def __call__(self, stream: trio.SocketStream) -> None:
        if self.speaks_first:
            await stream.send_eof()
        try:
            while data := await stream.receive_some(1 << 20):
                self.got += len(data)
                await trio.sleep(self.pause)
            self.end = "fin"
        except trio.BrokenResourceError:
            self.end = "reset"
        finally:
            self.ended.set()


@pytest.fixture
async def keepline(internet: Internet, nursery: trio.Nursery) -> Keepline:
    for handler, port in ((echo, ECHO), (source, SOURCE), (deaf, DEAF), (still, STILL)):
        await nursery.start(serve, handler, listen(internet.server, SERVER, port))
    return Keepline(internet)


@pytest.fixture
async def slow(internet: Internet, nursery: trio.Nursery) -> Counter:
    counter = Counter(pause=0.05)
    await nursery.start(serve, counter, listen(internet.server, SERVER, SLOW))
    return counter


async def under(keepline: Keepline, command: list[str], *options: str) -> tuple[float, Done]:
    """Return how much later than its command keepline has ended, and what it did."""
    done = await keepline.run(*command, options=options, check=False)
    return time.monotonic() - float(done.stdout), done


async def bare(keepline: Keepline, command: list[str]) -> float:
    """Return the same without keepline."""
    done = await keepline.host.run_process(command, env=keepline.environment, check=False)
    return time.monotonic() - float(done.stdout)


@pytest.mark.parametrize(
    "command",
    [
        ends("asked", SERVER, str(ECHO)),
        ends("asked", SERVER, str(STILL)),
        ends("asking", SERVER, str(DEAF)),
        ends("asking", SERVER, str(DEAF), str(signal.SIGTERM)),
        ends("dialling", SILENT, "80"),
        ends("half_read", SERVER, str(SOURCE)),
    ],
    ids=["idle", "a server without an end", "unanswered", "killed", "dialling", "half read"],
)
async def test_it_ends_with_its_command_where_nothing_is_left_to_be_said(
    keepline: Keepline, command: list[str]
) -> None:
    assert within(await bare(keepline, command), AT_ONCE)
    seconds, done = await under(keepline, command)
    assert within(seconds, AT_ONCE)
    assert done.stderr == ""


@pytest.mark.parametrize(("words", "bound"), [("", AT_ONCE), ("words", STALLED)])
async def test_a_dial_is_awaited_for_words_alone(
    keepline: Keepline, words: str, bound: float
) -> None:
    """Where the kernel accepts first, the program may have spoken already."""
    command = ends("dialling", SILENT, "80", *filter(None, [words]))
    seconds, _done = await under(keepline, command, "--intercept", "redirect")
    assert within(seconds, bound)


async def test_a_server_that_reads_nothing_is_awaited_for_a_second(keepline: Keepline) -> None:
    seconds, done = await under(keepline, ends("offering", SERVER, str(DEAF)))
    assert within(seconds, STALLED)
    closed = done.only(ConnectionClosed)
    assert (closed.by, closed.how) == ("keepline", "session-end")


async def test_an_upload_goes_on_for_as_long_as_it_moves(keepline: Keepline, slow: Counter) -> None:
    _seconds, done = await under(keepline, ends("uploading", SERVER, str(SLOW), str(MUCH)))
    with trio.fail_after(patience(20)):
        await slow.ended.wait()
    assert (slow.got, slow.end) == (MUCH, "fin")
    assert done.only(ConnectionClosed).sent == MUCH


async def test_an_upload_is_not_awaited_where_a_signal_ended_the_command(
    keepline: Keepline, slow: Counter
) -> None:
    slow.pause = 0.5
    command = ends("uploading", SERVER, str(SLOW), str(MUCH // 4), str(signal.SIGTERM))
    seconds, done = await under(keepline, command)
    assert within(seconds, AT_ONCE)
    assert done.status == 128 + signal.SIGTERM


async def test_a_signal_to_keepline_ends_the_delivery(keepline: Keepline, slow: Counter) -> None:
    slow.pause = 0.5
    async with keepline.start(*ends("uploading", SERVER, str(SLOW), str(MUCH // 4))) as session:
        assert await session.readline()
        await until_ended(session.pid)
        began = time.monotonic()
        session.process.send_signal(signal.SIGINT)
        done = await session.end()
    assert within(time.monotonic() - began, AT_ONCE)
    assert done.status == 0


async def until_ended(pid: int) -> None:
    """Wait until a process has no child any more."""
    with trio.fail_after(patience(20)):
        while len(await processes(pid)) > 1:  # noqa: ASYNC110, nobody tells
            await trio.sleep(0.01)


async def test_words_after_the_servers_end_arrive(
    internet: Internet, keepline: Keepline, nursery: trio.Nursery
) -> None:
    """Also if the relay sees them only when both sides have ended."""
    counter = Counter(speaks_first=True)
    await nursery.start(serve, counter, listen(internet.server, SERVER, FAREWELL))
    async with keepline.start(*ends("last", SERVER, str(FAREWELL))) as session:
        await session.until(SessionStarted)
        assert await session.readline() == b"ended\n"
        session.process.send_signal(signal.SIGSTOP)
        _itself, child, *_below = await processes(session.pid)
        pidfd = os.pidfd_open(child.pid)
        session.write(b"\n")
        with trio.fail_after(patience(10)):
            await trio.lowlevel.wait_readable(pidfd)
        os.close(pidfd)
        session.process.send_signal(signal.SIGCONT)
        await session.end()
    with trio.fail_after(patience(10)):
        await counter.ended.wait()
    assert (counter.got, counter.end) == (len(b"last words"), "fin")
