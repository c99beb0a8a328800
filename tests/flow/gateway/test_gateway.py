"""The gateway over loopback: what is passed on, held back, asked again, and told."""

import json

import h11
import pytest
import trio
import trio.testing

from relay.config import Hold
from relay.gateway.downstream.filler import HEAD_WAITS
from tests.support.inprocess.gateway import Program, gateway, until
from tests.support.internet.servers.api.faults import Failure, Fault
from tests.support.internet.servers.api.messages import message
from tests.support.internet.servers.api.server import fake_api
from tests.support.internet.servers.api.stream import Position, body

PROTOCOLS = [("h2", "http/1.1"), ("http/1.1",)]
STREAM = json.dumps({"seed": 7, "stream": True}).encode()
WHOLE = json.dumps({"seed": 7}).encode()


@pytest.mark.parametrize("protocols", PROTOCOLS)
@pytest.mark.parametrize("hold", ["message", "block", "none"])
async def test_a_streamed_answer_comes_byte_for_byte(
    protocols: tuple[str, ...], hold: Hold
) -> None:
    async with (
        fake_api(protocols=protocols) as served,
        gateway(served, hold=hold) as it,
        it.connection() as program,
    ):
        for _ in range(3):
            answer = await program.ask("POST", "/v1/messages?beta=true", STREAM)
            assert (answer.status, answer.is_complete) == (200, True)
            assert answer.body == body(message(7, len(served.log.asked) - 1))
    assert [asked.request.protocol for asked in served.log.asked] == [protocols[0]] * 3
    assert served.log.connections == 1


@pytest.mark.parametrize("protocols", PROTOCOLS)
@pytest.mark.parametrize("fault", [Fault.FIN, Fault.TLS_CLOSE, Fault.RST])
@pytest.mark.parametrize("position", list(Position))
async def test_a_loss_is_not_seen(
    protocols: tuple[str, ...], fault: Fault, position: Position
) -> None:
    request = WHOLE if position is Position.IN_BODY else STREAM
    async with (
        fake_api(*[Failure(fault, position)] * 2, protocols=protocols) as served,
        gateway(served) as it,
        it.connection() as program,
    ):
        answer = await program.ask("POST", "/v1/messages", request)
    assert (answer.status, answer.loss) == (200, "")
    tries = 1 if position is Position.AFTER_DELTA else 3  # then nothing of it is missed
    wanted = message(7, tries - 1)
    assert answer.body == (wanted.document() if request is WHOLE else body(wanted))
    assert len(it.resends()) == tries - 1
    assert not it.lost()


async def _ask(program: Program) -> None:
    fields = [("Host", "x"), ("Content-Length", str(len(STREAM)))]
    await program.send(h11.Request(method="POST", target="/v1/messages", headers=fields))
    await program.send(h11.Data(STREAM))


async def test_a_head_comes_with_the_content_that_follows_it(
    mock_clock: trio.testing.MockClock,
) -> None:
    async with (
        fake_api() as served,
        gateway(served, hold="block") as it,
        it.connection() as program,
    ):
        await _ask(program)
        first = bytes(await program.stream.receive_some())
    assert first.startswith(b"HTTP/1.1 200 ")
    assert b"content_block_delta" in first


async def test_a_head_does_not_wait_long(autojump_clock: trio.testing.MockClock) -> None:
    lost = Failure(Fault.SILENCE, Position.AFTER_HEAD)
    async with (
        fake_api(lost) as served,
        gateway(served, hold="block", silence=1e9) as it,
        it.connection() as program,
    ):
        began = trio.current_time()
        await _ask(program)
        head = await until(program.stream, b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    assert trio.current_time() - began == pytest.approx(HEAD_WAITS)
