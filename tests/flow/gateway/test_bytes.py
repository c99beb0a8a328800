"""Answers come through byte for byte, and take little memory while they flow."""

import json
import os
import subprocess
import sys
import textwrap
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import h11
import hypothesis
import pytest
import trio
import trio.testing
from hypothesis import strategies as st

from relay.config import Hold
from tests.support.inprocess.gateway import Program, gateway
from tests.support.internet.servers.api.answers import Answer
from tests.support.internet.servers.api.log import Request
from tests.support.internet.servers.api.server import Api, Served, fake_api

if TYPE_CHECKING:
    from tests.support.internet.servers.tls import Authority

EXAMPLES = 1000
HOLDS: tuple[Hold, ...] = ("message", "block", "none")
EVENTS = (b"text/event-stream", b"text/event-stream; charset=utf-8", b"Text/Event-Stream")

texts = st.text(max_size=40)
fields = st.sampled_from(["event", "data", "id", "retry", "", "x"])
comments = st.builds(lambda text: ": " + text.replace("\n", "").replace("\r", ""), texts)
lines = st.builds(
    lambda name, text: f"{name}: {json.dumps(text, ensure_ascii=False)}", fields, texts
)
kinds = st.sampled_from(
    [
        *("message_start", "content_block_start", "content_block_delta", "content_block_delta"),
        *("content_block_stop", "message_delta", "ping", "never_heard_of", "message_stop"),
    ]
)
sizes = st.sampled_from([0, 1, 10, 10, 10, 100, 100, 100, 1000, 70_000])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Draw a stream of events that ends with message_stop."""
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    said = draw(st.sampled_from(["", "\ufeff"]))
    whole = ["message_start", *draw(st.lists(kinds, max_size=8)), "message_stop"]
    for kind in whole:
        text = "é🙂" * (draw(sizes) // 6)
        data = json.dumps({"type": kind, "text": text}, ensure_ascii=False)
        more = draw(st.lists(comments | lines, max_size=1))
        said += end.join(
            [
                *(each for each in more if not each.startswith(("event", "data"))),
                f"event: {kind}",
                f"data: {data}",
                "",
                "",
            ]
        )
    return said.encode(errors="replace")


async def test_a_thousand_answers_are_those_of_upstream() -> None:
    current = [b"x"]

    def respond(_request: Request) -> Answer:
        return Answer(200, ((b"content-type", EVENTS[len(current[0]) % 3]),), current)

    async with AsyncExitStack() as stack:
        programs: list[Program] = []
        for protocol in ("h2", "http/1.1"):
            served = await stack.enter_async_context(fake_api(protocols=(protocol,)))
            served.api.respond = respond
            for hold in HOLDS:
                it = await stack.enter_async_context(gateway(served, hold=hold))
                programs.append(await stack.enter_async_context(it.connection()))
                await programs[-1].ask("GET", "/v1/models")  # it reads now whom it trusts

        async def check(pieces: list[bytes]) -> None:
            current[:] = pieces
            hold = len(pieces[0]) % 3
            for program in (programs[hold], programs[3 + hold]):
                answer = await program.ask("POST", "/v1/messages", b"{}")
                assert (answer.status, answer.is_complete, answer.loss) == (200, True, "")
                assert answer.body == b"".join(pieces)

        @hypothesis.settings(max_examples=EXAMPLES, database=None, derandomize=True)
        @hypothesis.given(streams(), st.lists(st.integers(1, 400), max_size=5))
        def check_all(whole: bytes, borders: list[int]) -> None:
            pieces, at = [], 0
            for size in borders:
                pieces.append(whole[at : at + size])
                at += size
            trio.from_thread.run(check, [piece for piece in (*pieces, whole[at:]) if piece])

        await trio.to_thread.run_sync(check_all)


MEGABYTE = 1 << 20
UPSTREAM = """
    import sys, trio
    from tests.support.internet.servers.api.answers import Answer
    from tests.support.internet.servers.api.server import fake_api

    async def main(protocol):
        delta = b"event: content_block_delta\\ndata: %b\\n\\n" % (b"x" * 16000)
        def pieces():
            for kind in ("message_start", "content_block_start"):
                yield f"event: {kind}\\ndata: {{}}\\n\\n".encode()
            for _ in range(100 * (1 << 20) // len(delta)):
                yield delta
            yield b"event: message_stop\\ndata: {}\\n\\n"
        async with fake_api(protocols=(protocol,)) as served:
            served.api.respond = lambda _: Answer(
                200, ((b"content-type", b"text/event-stream"),), pieces()
            )
            print(served.port, served.authority.file, flush=True)
            await trio.to_thread.run_sync(sys.stdin.read)

    trio.run(main, sys.argv[1])
"""


@dataclass
class OfAnother:
    """The authority of another process's fake API."""

    file: Path


def resident() -> int:
    """Return this process's memory in bytes, statm of proc(5)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_long_answer_takes_little_memory(protocol: str, is_slow: bool) -> None:
    command = [sys.executable, "-c", textwrap.dedent(UPSTREAM), protocol]
    with subprocess.Popen(  # noqa: ASYNC220 - at once
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as upstream:
        assert upstream.stdin is not None
        assert upstream.stdout is not None
        port, file = upstream.stdout.readline().split()
        try:
            grown, size = await growth(int(port), Path(file), is_slow=is_slow)
        finally:
            upstream.stdin.close()
            upstream.wait()
    assert size >= 99 * MEGABYTE
    assert grown <= 4 * MEGABYTE, f"{grown / MEGABYTE:.1f} MiB"
    print(f"{protocol} grew by {grown / MEGABYTE:.2f} MiB")  # noqa: T201


async def growth(port: int, file: Path, *, is_slow: bool) -> tuple[int, int]:
    """Take the answer with hold = none; give how much memory grew, and the answer's size."""
    served = Served(Api(), port, cast("Authority", OfAnother(file)))
    async with gateway(served, hold="none") as it, it.connection() as program:
        head = h11.Request(method="POST", target="/v1/messages", headers=[("Host", "x")])
        await program.stream.send_all(program.h11.send(head) or b"")
        size, before, most = 0, 0, 0
        while size < 99 * MEGABYTE + 1:
            data = await program.stream.receive_some(1 << 16)
            assert data
            size += len(data)
            if size < 2 * MEGABYTE:
                before = resident()
            most = max(most, resident())
            if is_slow and size // (10 * MEGABYTE) != (size - len(data)) // (10 * MEGABYTE):
                await trio.testing.wait_all_tasks_blocked()
                most = max(most, resident())
        return most - before, size
