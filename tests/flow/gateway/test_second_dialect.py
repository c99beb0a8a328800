"""The gateway in another dialect: the exchange is the same, the words are the dialect's."""

import pytest
import trio
import trio.testing

from relay.config import Hold
from tests.support.inprocess.dialects import CHAT, SAMPLES
from tests.support.inprocess.gateway import Answer, Running, bare_upstream, gateway
from tests.support.internet.servers.listening import Handler

CHATTED = SAMPLES[1]
WHOLE = b"".join(CHATTED.events)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"
CUT = HEAD + b"Content-Length: 100000\r\n\r\n" + b"".join(CHATTED.before)
KEPT = HEAD + b"\r\n" + WHOLE


def answering(*answers: bytes, pause: float = 0.0) -> Handler:
    """Give each connection the next answer, after the head and a pause; the last one for ever."""
    left = list(answers)

    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        head, end, body = (left.pop(0) if len(left) > 1 else left[0]).partition(b"\r\n\r\n")
        await stream.send_all(head + end)
        await trio.sleep(pause)
        await stream.send_all(body)

    return answer


async def ask(it: Running, path: str = CHATTED.path) -> Answer:
    async with it.connection() as program:
        answer = await program.ask("POST", path, b"{}")
    await it.assert_nothing_is_left()
    return answer


@pytest.mark.parametrize("hold", ["message", "block", "none"])
async def test_a_loss_is_not_seen(hold: Hold, autojump_clock: trio.testing.MockClock) -> None:
    async with (
        bare_upstream(answering(CUT, CUT, KEPT)) as served,
        gateway(served, hold=hold, dialect=CHAT) as it,
    ):
        answer = await ask(it)
    assert (answer.status, answer.body, answer.is_complete) == (200, WHOLE, True)
    assert [each.may_be_billed for each in it.resends()] == [True, True]
    assert not it.lost()


async def test_six_losses_in_a_row_are_told_in_its_words(
    autojump_clock: trio.testing.MockClock,
) -> None:
    error = HEAD + b"\r\n" + CHATTED.passing_error
    async with (
        bare_upstream(answering(CUT)) as cut,
        gateway(cut, dialect=CHAT) as it,
        bare_upstream(answering(error)) as failing,
        gateway(failing, dialect=CHAT) as other,
    ):
        lost, failed = await ask(it), await ask(other)
    assert (lost.status, failed.status) == (200, 200)
    assert lost.body.startswith(b'data: {"error": {"message": "no answer from server.test: ')
    assert failed.body == CHATTED.passing_error
    assert other.lost()[0].cause == "error event: server_error"


async def test_its_filler_keeps_the_program_patient(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with (
        bare_upstream(answering(KEPT, pause=25)) as served,
        gateway(served, dialect=CHAT) as it,
    ):
        answer = await ask(it)
    assert answer.body == CHAT.filler * 3 + WHOLE


async def test_where_nothing_listens_its_words_are_given(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with bare_upstream(answering(KEPT)) as served:
        pass
    async with gateway(served, dialect=CHAT, patience=3) as it:
        answer = await ask(it)
    assert answer.status == 502
    assert answer.body.startswith(b'{"error": {"message": "no answer from server.test: ')


async def test_what_another_dialect_may_repeat_is_not_repeated() -> None:
    async with bare_upstream(answering(CUT)) as served, gateway(served, dialect=CHAT) as it:
        answer = await ask(it, "/v1/messages")
    assert answer.loss
    assert not it.resends()
