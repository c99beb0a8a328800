"""Asking the process that makes sockets: in turn, whoever is cancelled, whatever it answers."""

import contextlib
import errno
import socket
from collections.abc import Iterator

import pytest
import trio

from netns.process.socket_maker import ANSWER, DIAG, SocketMaker
from relay.publishing.sockets import Sockets


class Process:
    """The other end of the channel, by hand."""

    def __init__(self) -> None:
        ours, self.end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.end.setblocking(False)
        self.maker = SocketMaker(2**22, ours)
        self.inside = socket.socket()

    async def asked(self) -> bytes:
        await trio.lowlevel.wait_readable(self.end)
        data, fds, _flags, _address = socket.recv_fds(self.end, 16, 1)
        for fd in fds:
            socket.close(fd)
        return data

    def answers(self, number: int = 0, sock: socket.socket | None = None) -> None:
        fds = [sock.fileno()] if sock else []
        socket.send_fds(self.end, [ANSWER.pack(number)], fds)

    def close(self) -> None:
        for sock in (self.end, self.inside, self.maker.end):
            if sock is not None:
                sock.close()


@pytest.fixture
def process() -> Iterator[Process]:
    with contextlib.closing(Process()) as made:
        yield made


async def test_it_enters_once_and_then_makes(process: Process) -> None:
    sockets = Sockets(process.maker, process.inside)
    made: list[socket.socket] = []

    async def make() -> None:
        made.append(await sockets.diag())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(make)
        assert await process.asked() == b"e"
        process.answers()
        for wanted in socket.socket(), socket.socket():
            assert await process.asked() == DIAG
            process.answers(sock=wanted)
            wanted.close()
            if len(made) == 0:
                nursery.start_soon(make)
    for each in made:
        each.close()
    assert len(made) == 2


async def test_an_answer_that_nobody_waits_for_is_no_others(process: Process) -> None:
    sockets = Sockets(process.maker, process.inside)
    with trio.move_on_after(0.01):
        await sockets.diag()
    assert await process.asked() == b"e"
    process.answers()
    made: list[socket.socket] = []

    async def make() -> None:
        made.append(await sockets.diag())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(make)
        assert await process.asked() == b"e"
        process.answers()
        assert await process.asked() == DIAG
        with socket.socket() as wanted:
            process.answers(sock=wanted)
    made[0].close()


async def test_why_there_is_none_is_raised(process: Process) -> None:
    sockets = Sockets(process.maker, process.inside)

    async def fails(number: int) -> None:
        with pytest.raises(OSError, match=r"not permitted|has ended") as caught:
            await sockets.diag()
        assert caught.value.errno == number

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fails, errno.EPERM)
        await process.asked()
        process.answers(errno.EPERM)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fails, errno.ESRCH)
        await process.asked()
        process.end.close()
    for nobody in (SocketMaker(), SocketMaker(2**22)):
        sockets = Sockets(nobody, process.inside)
        await fails(errno.ESRCH)


async def test_it_may_end_before_it_has_read_the_question(process: Process) -> None:
    async with trio.open_nursery() as nursery:

        async def is_gone() -> None:
            with pytest.raises(OSError, match="has ended") as caught:
                await Sockets(process.maker, process.inside).diag()
            assert caught.value.errno == errno.ESRCH

        nursery.start_soon(is_gone)
        await trio.lowlevel.wait_readable(process.end)
        process.end.close()  # what it has not read makes that a reset, unix(7)


async def test_a_process_that_does_not_answer(
    process: Process, autojump_clock: trio.testing.MockClock
) -> None:
    sockets = Sockets(process.maker, process.inside)
    with pytest.raises(TimeoutError):
        await sockets.diag()
