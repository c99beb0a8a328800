"""Whatever upstream sends, the program gets a clear end, in time, and nothing is left behind."""

import random

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest
import trio
import trio.testing

from relay.gateway.hold import Hold
from tests.support.inprocess.gateway import Running, bare_upstream, gateway
from tests.support.internet.servers.api.messages import message
from tests.support.internet.servers.api.stream import body

STREAM = b'{"seed": 7, "stream": true, "secret": "MARKED-BODY"}'
EVENTS = body(message(7))
EXAMPLES = 150


REQUESTS = [("POST", "/v1/messages"), ("POST", "/other"), ("GET", "/a"), ("HEAD", "/")]


def chunked(data: bytes, size: int = 500) -> bytes:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


GOOD_H1 = [
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    + chunked(EVENTS),
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"
    b'{"MARKED-BODY":',
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
]


def mutated(good: bytes, random_: random.Random) -> bytes:
    """Damage some bytes: cut, flip, repeat, insert."""
    data = bytearray(good)
    for _ in range(random_.choice((1, 1, 1, 2, 5))):
        at = (
            random_.randrange(len(data))
            if random_.random() < 0.5
            else random_.randrange(min(len(data), 120))
        )
        match random_.randrange(5):
            case 0:
                del data[at:]
                if not data:
                    return b""
            case 1:
                data[at] ^= 1 << random_.randrange(8)
            case 2:
                data[at:at] = random_.randbytes(random_.randrange(1, 20))
            case 3:
                data[at : at + random_.randrange(1, 30)] = b""
                if not data:
                    return b""
            case 4:
                data[at:at] = data[at : at + random_.randrange(1, 300)]
    return bytes(data)


@pytest.mark.parametrize("hold", ["message", "block", "none"])
async def test_damaged_http1_has_a_clear_end(
    hold: Hold, autojump_clock: trio.testing.MockClock
) -> None:
    answers: list[bytes] = []

    async def answer_once(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(answers[-1])
        await stream.send_eof()
        async for _ in stream:
            pass

    async with bare_upstream(answer_once) as served, gateway(served, hold=hold) as it:
        for seed in range(EXAMPLES):
            chance = random.Random(seed)
            answers.append(mutated(chance.choice(GOOD_H1), chance))
            await ask_once(it, chance, answers[-1])
            await it.assert_nothing_is_left()
        assert "MARKED" not in repr(it.events)


async def ask_once(it: Running, chance: random.Random, note: object) -> None:
    method, path = chance.choice(REQUESTS)
    with trio.fail_after(5000):
        async with it.connection() as program:
            answer = await program.ask(method, path, STREAM if method == "POST" else b"")
    assert answer.is_complete or answer.loss, note


class H2Upstream:
    """Speaks HTTP/2 by the frames that it is told."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    async def serve(self, stream: trio.abc.Stream) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding=None)
        it = h2.connection.H2Connection(config)
        it.initiate_connection()
        head = [
            (":status", self.chance.choice(("200", "204", "304", "404", "529"))),
            ("content-type", self.chance.choice(("text/event-stream", "application/json"))),
        ]
        try:
            await stream.send_all(it.data_to_send())
            while data := await stream.receive_some():
                for event in it.receive_data(bytes(data)):
                    if isinstance(event, h2.events.StreamEnded):
                        number = event.stream_id or 0
                        it.send_headers(number, head)
                        for at in range(0, len(EVENTS), 700):
                            it.send_data(number, EVENTS[at : at + 700])
                        it.end_stream(number)
                answer = it.data_to_send()
                if len(answer) > 100:
                    answer = mutated(answer, self.chance)
                    await stream.send_all(answer)
                    await trio.sleep(self.chance.choice((0, 300)))
                    return
                await stream.send_all(answer)
        except (trio.BrokenResourceError, h2.exceptions.ProtocolError):
            pass


@pytest.mark.parametrize("hold", ["message", "block", "none"])
async def test_damaged_http2_has_a_clear_end(
    hold: Hold, autojump_clock: trio.testing.MockClock
) -> None:
    chance = random.Random(hold)
    upstream = H2Upstream(chance)
    async with (
        bare_upstream(upstream.serve, protocols=("h2",)) as served,
        gateway(served, hold=hold) as it,
    ):
        for _ in range(EXAMPLES):
            await ask_once(it, chance, "")
        await trio.sleep(1000)  # of the clock that jumps: all that waits for time is over
        await it.assert_nothing_is_left()
        assert "MARKED" not in repr(it.events)
