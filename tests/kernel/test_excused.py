"""A reset is told as a loss only where the program has missed something; bare, it ends the same."""

import subprocess
from pathlib import Path

import pytest
import trio

from relay.record.events import ConnectionClosed
from tests.support.command.ends import ends
from tests.support.command.keepline import Done, Keepline
from tests.support.internet.servers.broken import answer_then_reset, reset_after
from tests.support.internet.servers.listening import Handler, listen, serve
from tests.support.internet.world import SERVER, Internet

PORT = 80
MUCH = 20 << 20
TOO_LARGE = (
    b"HTTP/1.1 413 Content Too Large\r\nServer: a\r\nContent-Length: 5\r\n"
    b"Content-Type: text/plain\r\nConnection: close\r\n\r\nlarge"
)
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nContent-Type: text/plain\r\n\r\n" + bytes(
    50000
)


def refuse_after(size: int, answer: bytes) -> Handler:
    """Answer once so much of an upload is there, and close with the rest unread."""

    async def handle(stream: trio.SocketStream) -> None:
        received = 0
        while received < size and (data := await stream.receive_some(1 << 16)):
            received += len(data)
        await stream.send_all(answer)
        stream.socket.close()

    return handle


async def slowly(stream: trio.SocketStream) -> None:
    """Answer a byte now and then; reset a client that has closed."""
    await stream.receive_some()
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                await stream.receive_some()
                scope.cancel()

            nursery.start_soon(wait)
            while True:
                await stream.send_all(b"x")
                await trio.sleep(0.2)
    await reset_after(0)(stream)


async def both(internet: Internet, nursery: trio.Nursery, handler: Handler, *command: str) -> Done:
    """Run a command without keepline and under it: both come to something, or neither does.

    Which call of curl's meets a reset in the middle of an upload differs from run to run.
    """
    await nursery.start(serve, handler, listen(internet.server, SERVER, PORT))
    keepline = Keepline(internet)
    alone = await internet.client.run_process(
        [*command], env=keepline.environment, check=False, stderr=subprocess.DEVNULL
    )
    done = await keepline.run(*command, check=False)
    assert (done.status == 0) == (alone.returncode == 0)
    return done


@pytest.fixture
def upload(tmp_path: Path) -> str:
    path = tmp_path / "upload"
    with path.open("wb") as file:
        file.truncate(MUCH)
    return str(path)


URL = f"http://{SERVER}/"


async def test_an_upload_that_the_server_refuses_in_its_middle(
    internet: Internet, nursery: trio.Nursery, upload: str
) -> None:
    handler = refuse_after(300_000, TOO_LARGE)
    await nursery.start(serve, handler, listen(internet.server, SERVER, PORT))
    command = ["curl", "-sS", "-w", "%{http_code}", "-H", "Expect:", "-T", upload, URL]
    done = await Keepline(internet).run(*command, check=False)
    assert done.stdout in (b"large413", b"000")  # as alone: a reset may be met first
    assert "loss" not in done.stderr
    closed = done.only(ConnectionClosed)
    assert closed.excuse or closed.how == "fin"  # it may come before curl has closed, or after


async def test_an_upload_that_is_cut_is_a_loss(
    internet: Internet, nursery: trio.Nursery, upload: str
) -> None:
    command = ["curl", "-sS", "-H", "Expect:", "-T", upload, URL]
    done = await both(internet, nursery, reset_after(300_000), *command)
    assert "1 loss: 0 hidden, 1 visible." in done.stderr


async def test_an_answer_that_is_cut_is_a_loss(internet: Internet, nursery: trio.Nursery) -> None:
    done = await both(
        internet, nursery, answer_then_reset(CUT), "curl", "-sS", "-o", "/dev/null", URL
    )
    assert done.status == 56
    assert "1 loss: 0 hidden, 1 visible." in done.stderr


async def test_a_program_that_gives_up_has_lost_nothing(
    internet: Internet, nursery: trio.Nursery
) -> None:
    done = await both(
        internet, nursery, slowly, "curl", "-sS", "--max-time", "1", "-o", "/dev/null", URL
    )
    assert done.status == 28
    assert "loss" not in done.stderr


async def test_a_program_that_has_gone_has_lost_nothing(
    internet: Internet, nursery: trio.Nursery
) -> None:
    """It asks in a child that ends, while the command goes on."""
    script = '"$@"; sleep 0.7'
    asking = ends("asking", SERVER, str(PORT))
    await nursery.start(serve, slowly_reset, listen(internet.server, SERVER, PORT))
    done = await Keepline(internet).run("bash", "-c", script, "bash", *asking)
    assert done.stderr == ""


async def slowly_reset(stream: trio.SocketStream) -> None:
    """Reset a client some time after it has closed."""
    async for _ in stream:
        pass
    await trio.sleep(0.2)
    await reset_after(0)(stream)
