"""An urgent byte goes on as one, in its place, in either direction; the bytes around it as ever."""

import signal
import socket
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from relay.tcp.transfer import urgent
from tests.support.inprocess import tcp


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Hear of urgent data for the time of a test."""
    before = signal.getsignal(signal.SIGURG)
    urgent.listen()
    yield
    signal.signal(signal.SIGURG, before)
    urgent.Seen.yet = False


@pytest.mark.parametrize("speaker", ["program", "server"])
async def test_an_urgent_byte_goes_on_as_one(nursery: trio.Nursery, speaker: str) -> None:
    with await tcp.start(nursery) as pumped:
        streams = {"program": pumped.program, "server": pumped.server}
        speaks = streams.pop(speaker).socket
        (hears,) = streams.values()
        for _ in range(2):
            await speaks.send(b"before")
            await speaks.send(b"!", socket.MSG_OOB)
            await speaks.send(b"after")
            got = b""
            while len(got) < len("beforeafter"):
                got += await hears.receive_some(len("beforeafter") - len(got))
                if got == b"before":
                    await trio.testing.wait_all_tasks_blocked()
                    assert await hears.socket.recv(1, socket.MSG_OOB) == b"!"
            assert got == b"beforeafter"
        assert urgent.Seen.yet
        pumped.pump.abort()
        await pumped.ended.wait()


def test_a_socket_that_takes_no_owner_is_left_alone() -> None:
    with socket.socket() as closed:
        pass
    with pytest.raises(ValueError, match="file descriptor"):
        urgent.is_next(closed)
    urgent.watch(closed)
