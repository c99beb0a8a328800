"""Upstreams of other manners than the API's own: the program gets what it gets without gateway."""

import dataclasses
import json

import pytest
import trio
import trio.testing

from relay.config import Hold
from relay.gateway.answers.manners import UNTOLD
from relay.record.kinds import Kind
from tests.support.inprocess.gateway import Answer, Running, bare_upstream, gateway
from tests.support.internet.servers.api import stream
from tests.support.internet.servers.api.manners import MANNERS, MESSAGE, Manner, Router

STREAM = json.dumps({"stream": True}).encode()
NEVER_TOLD = ("no message_delta, no message_stop", "stop_reason null, no message_stop")
END = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
ENDED = {
    *(name for name in MANNERS if name.startswith("no message_stop")),
    *("[DONE] for message_stop", "no content_block_stop, no message_stop"),
}
"""Those that leave the end out after a stop reason: it is put there."""
HOLDS = pytest.mark.parametrize("hold", ["message", "block", "none"])


async def ask(it: Running, body: bytes = STREAM) -> Answer:
    async with it.connection() as program:
        answer = await program.ask("POST", "/v1/messages", body)
    await it.assert_nothing_is_left()
    return answer


def written(manner: Manner) -> bytes:
    return manner.write(list(stream.events(MESSAGE)))


@HOLDS
@pytest.mark.parametrize("name", [name for name in MANNERS if name not in NEVER_TOLD])
async def test_each_is_asked_once(name: str, hold: Hold) -> None:
    router = Router(MANNERS[name])
    async with bare_upstream(router) as served, gateway(served, hold=hold) as it:
        answer = await ask(it)
    assert (answer.status, answer.is_complete, answer.loss) == (200, True, "")
    sent = written(router.manner)
    if name in ENDED:
        sent += END
    elif name == "no empty line at the end":
        sent += b"\n"
    assert answer.body == sent
    assert router.asked == ["POST /v1/messages"]
    assert not it.resends()
    assert not it.lost()


@HOLDS
@pytest.mark.parametrize("name", NEVER_TOLD)
async def test_who_never_tells_an_end_is_believed_in_the_end(
    name: str, hold: Hold, autojump_clock: trio.testing.MockClock
) -> None:
    router = Router(MANNERS[name])
    async with bare_upstream(router) as served, gateway(served, hold=hold) as it:
        if hold != "message":  # what is committed cannot be asked for again
            for _ in range(UNTOLD - 1):
                assert (await ask(it)).loss
        for count in range(UNTOLD, UNTOLD + 3):
            answer = await ask(it)
            assert (answer.body, answer.is_complete) == (written(router.manner), True)
            assert len(router.asked) == count


async def test_who_has_told_an_end_is_held_to_it(autojump_clock: trio.testing.MockClock) -> None:
    router = Router(MANNERS["the usual"])
    async with bare_upstream(router) as served, gateway(served) as it:
        assert (await ask(it)).is_complete
        router.manner = MANNERS[NEVER_TOLD[0]]
        answer = await ask(it)
    assert b"event: error\n" in answer.body
    assert len(router.asked) == 1 + 6


@pytest.mark.parametrize("pauses", [(700.0, 0.0), (0.0, 700.0)], ids=["head", "middle"])
@pytest.mark.parametrize("body", [STREAM, b"{}"], ids=["stream", "document"])
async def test_silence_is_no_loss_where_nobody_fills_it(
    pauses: tuple[float, float], body: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    router = Router(Manner(pauses=pauses))
    async with bare_upstream(router) as served, gateway(served, silence=None) as it:
        answer = await ask(it, body)
    assert answer.is_complete
    assert len(router.asked) == 1


async def test_silence_where_it_was_filled_before_is_a_loss_and_later_each_time(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The first stream is filled each 10 s; of the second, tries are silent for 60, 120, 240 s."""
    router = Router(Manner(fill=10.0, pauses=(0.0, 100.0)))
    async with bare_upstream(router) as served, gateway(served, silence=None) as it:
        assert (await ask(it)).is_complete
        router.manner = Manner(pauses=(0.0, 200.0))
        began = trio.current_time()
        answer = await ask(it)
        assert answer.is_complete
        assert 60 + 120 + 200 <= trio.current_time() - began < 60 + 120 + 200 + 5
    causes = [each.cause for each in it.resends()]
    assert causes == ["silent for 60 s", "silent for 120 s"]
    assert {each.kind for each in it.resends()} == {Kind.SILENT}


async def test_silence_at_the_apis_own_host_is_a_loss(
    autojump_clock: trio.testing.MockClock,
) -> None:
    router = Router(Manner(pauses=(0.0, 100.0)))
    async with (
        bare_upstream(router) as served,
        gateway(served, silence=None, host="api.anthropic.com") as it,
    ):
        assert (await ask(it)).is_complete
    assert [each.cause for each in it.resends()] == ["silent for 60 s"]


async def test_a_limit_that_was_set_holds(autojump_clock: trio.testing.MockClock) -> None:
    router = Router(Manner(pauses=(0.0, 100.0)))
    async with bare_upstream(router) as served, gateway(served, silence=7) as it:
        answer = await ask(it)
    assert b"silent for 7 s (asked 6 times" in answer.body
    assert [each.cause for each in it.resends()] == ["silent for 7 s"] * 5


async def test_a_document_where_a_stream_was_lost(autojump_clock: trio.testing.MockClock) -> None:
    """Only an error can be put into the stream that the program has begun to read."""
    router = Router(dataclasses.replace(MANNERS["the usual"], is_cut=True, pauses=(0.0, 9.0)))

    async def change() -> None:
        await trio.sleep(1)
        router.manner = MANNERS["a document for a stream"]

    async with (
        bare_upstream(router) as served,
        gateway(served, silence=3) as it,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(change)
        answer = await ask(it)
    assert b"status 200 after a loss" in answer.body
