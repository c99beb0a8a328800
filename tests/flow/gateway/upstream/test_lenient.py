"""Answers that are not quite HTTP/1.1: what clients take is taken, if it has one meaning."""

from collections.abc import Sequence

import pytest
import trio

from relay.record.events import UpstreamOpened
from tests.support.inprocess.gateway import Answer, bare_upstream, gateway

LENGTH = "Content-Length: 5"
CHUNKED = "Transfer-Encoding: chunked"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"


def head(*lines: str, first: str = "HTTP/1.1 200 OK", body: bytes = b"hello") -> bytes:
    """Return an answer; each character of its head is a byte."""
    return "\r\n".join([first, *lines, "", ""]).encode("latin-1") + body


TAKEN = {
    "space before the colon": head("X-A : 1", LENGTH),
    "tab before the colon": head("X-A\t: 1", LENGTH),
    "of the length": head("X-A: 1", "Content-Length : 5"),
    "of the coding": head("X-A: 1", "Transfer-Encoding : chunked", body=CHUNKS),
    "LF alone": head("X-A: 1", LENGTH).replace(b"\r\n", b"\n"),
    "some LF alone": b"HTTP/1.1 200 OK\r\nX-A: 1\nContent-Length: 5\r\n\nhello",
    "folded": head("X-A:", " 1", LENGTH),
    "folded, and a space": head("X-A:", " 1", "X-B : 2", LENGTH),
    "a space in a name": head("X B: 1", "X-A: 1", LENGTH),
    "no token": head("X(B): 1", "X@\xe9: 2", "X-A: 1", LENGTH),
    "no name": head(": 1", "X-A: 1", LENGTH),
    "Latin-1": head("X-B: caf\xe9", "X-A: 1", LENGTH),
    "UTF-8": head("X-B: caf\xc3\xa9", "X-A: 1", LENGTH),
    "a control character": head("X-B: a\x01b", "X-A: 1", LENGTH),
    "no value": head("X-B:", "X-A: 1", LENGTH),
    "no reason": head("X-A: 1", LENGTH, first="HTTP/1.1 200"),
    "an odd reason": head("X-A: 1", LENGTH, first="HTTP/1.1 200 Tr\xc3\xa8s \x01bien"),
    "two spaces": head("X-A: 1", LENGTH, first="HTTP/1.1  200 OK"),
    "HTTP/1.0": head("X-A: 1", LENGTH, first="HTTP/1.0 200 OK"),
    "HTTP/1.2": head("X-A: 1", LENGTH, first="HTTP/1.2 200 OK"),
    "HTTP/2": head("X-A: 1", LENGTH, first="HTTP/2 200"),
    "http/1.1": head("X-A: 1", LENGTH, first="http/1.1 200 OK"),
    "an empty line first": b"\r\n" + head("X-A: 1", LENGTH),
    "identity": head("X-A: 1", "Transfer-Encoding: identity", LENGTH),
    "identity, to the end": head("X-A: 1", "Transfer-Encoding: identity", "Connection: close"),
    "Chunked": head("X-A: 1", "transfer-encoding: Chunked", body=CHUNKS),
    "chunked twice": head("X-A: 1", CHUNKED, CHUNKED, body=CHUNKS),
    "chunked and a length": head("X-A: 1", "Content-Length: 3", CHUNKED, body=CHUNKS),
    "the length twice": head("X-A: 1", LENGTH, LENGTH),
    "the length listed": head("X-A: 1", "Content-Length: 5, 5"),
    "the length with a sign": head("X-A: 1", "Content-Length: +5"),
    "a large field": head("X-B: " + "b" * 300_000, "X-A: 1", LENGTH),
    "many fields": head(*(f"X-{number}: 1" for number in range(900)), "X-A: 1", LENGTH),
    "a chunk's extension": head("X-A: 1", CHUNKED, body=b"5;a=b\r\nhello\r\n0\r\n\r\n"),
    "a space after a size": head("X-A: 1", CHUNKED, body=b"5 \r\nhello\r\n0 \r\n\r\n"),
    "no last line": head("X-A: 1", CHUNKED, "Connection: close", body=CHUNKS[:-2]),
    "103 before it": b"HTTP/1.1 103 Early\r\nLink : a\r\n\r\n" + head("X-A: 1", LENGTH),
    "103 before it, well": head(first="HTTP/1.1 103 Early", body=b"") + head("X-A : 1", LENGTH),
}

REFUSED = {
    "no HTTP": b"hello\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.9\r\n",
    "four digits": head(LENGTH, first="HTTP/1.1 2000 OK"),
    "status 099": head(LENGTH, first="HTTP/1.1 099 OK"),
    "no colon": head("nonsense", LENGTH),
    "NUL": head("X-A : a\x00b", LENGTH),
    "a bare CR": head("X-A : a\rContent-Length: 6", LENGTH),
    "a fold before all": head(" X-A: 1", LENGTH),
    "two lengths": head("Content-Length: 5", "Content-Length: 6"),
    "no number": head("Content-Length: five"),
    "two codings": head("Transfer-Encoding: gzip, chunked", body=CHUNKS),
    "101 that nobody wants": head("X : 1", first="HTTP/1.1 101 Yes", body=b""),
    "a size that is none": head("X : 1", "Content-Length: 1e1"),
}


async def ask(answer: bytes, times: int = 1) -> tuple[Sequence[Answer], int, int]:
    """Ask so often; give the answers, the connections made, and how often it was asked again."""

    async def serve(stream: trio.SocketStream) -> None:
        while await stream.receive_some():
            await stream.send_all(answer)
            if b"close" in answer:
                return

    async with bare_upstream(serve) as served, gateway(served) as it, it.connection() as program:
        answers = [await program.ask("GET", "/v1/models") for _ in range(times)]
        opened = sum(isinstance(event, UpstreamOpened) for event in it.events)
        return answers, opened, len(it.resends())


@pytest.mark.parametrize("name", TAKEN)
async def test_it_is_taken_and_passed_on_as_it_should_be(name: str) -> None:
    answers, _, resends = await ask(TAKEN[name], times=2)
    for answer in answers:
        assert (answer.status, answer.body, answer.is_complete) == (200, b"hello", True)
        fields = [(field.lower(), value) for field, value in answer.fields]
        assert (b"x-a", b"1") in fields
    assert not resends


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_no_answer_or_two_is_asked_once(name: str) -> None:
    (answer,), opened, resends = await ask(REFUSED[name])
    assert (answer.status, opened, resends) == (502, 1, 0)
    assert (b"x-should-retry", b"false") in answer.fields


@pytest.mark.parametrize(
    ("name", "opened"),
    [("space before the colon", 3), ("chunked and a length", 3), ("Latin-1", 1)],
)
async def test_where_a_body_may_end_elsewhere_the_connection_ends(name: str, opened: int) -> None:
    answers, made, _ = await ask(TAKEN[name], times=3)
    assert [answer.body for answer in answers] == [b"hello"] * 3
    assert made == opened


@pytest.mark.parametrize("body", [b"7\r\nhello\n0\r\n", b"5\r\nhello\r\n0\r", b"5\r\nhe\n0\r\n"])
async def test_a_body_that_is_cut_where_it_looks_like_its_end_is_lost(
    body: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    fields = ("Content-Type: application/json", CHUNKED, "Connection: close")
    (answer,), _, resends = await ask(head(*fields, body=body))
    assert (answer.status, resends) == (502, 5)


@pytest.mark.parametrize("status", [200, 204, 304])
async def test_a_body_that_must_not_be_is_dropped(status: int) -> None:
    """Its bytes stand where the next answer would, so that the connection ends."""

    async def serve(stream: trio.SocketStream) -> None:
        while data := await stream.receive_some():
            first = f"HTTP/1.1 {status} Odd" if data.startswith(b"HEAD") else "HTTP/1.1 200 OK"
            await stream.send_all(head(LENGTH, first=first))

    async with bare_upstream(serve) as served, gateway(served) as it, it.connection() as program:
        answer = await program.ask("HEAD", "/v1/models")
        assert (answer.status, answer.body, answer.is_complete) == (status, b"", True)
        assert (await program.ask("GET", "/v1/models")).body == b"hello"
        assert not it.resends()
