"""Each refusal has a status and a reply of its own kind, and words that no header can break."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.inbound.offer import Refusal
from relay.inbound.proxy import answers
from relay.inbound.proxy.refusals import answer_to, reply_to


def read(answer: bytes) -> tuple[int, bytes, dict[bytes, bytes]]:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(answer)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    data = client.next_event()
    assert isinstance(data, h11.Data)
    assert isinstance(client.next_event(), h11.EndOfMessage)
    return response.status_code, bytes(data.data), dict(response.headers)


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (Refusal.REFUSED, 502, 5),
        (Refusal.NO_ANSWER, 504, 6),
        (Refusal.NETWORK_UNREACHABLE, 502, 3),
        (Refusal.HOST_UNREACHABLE, 502, 4),
        (Refusal.PROTOCOL_UNREACHABLE, 502, 1),
        (Refusal.PROHIBITED, 403, 2),
        (Refusal.HOST_PROHIBITED, 403, 2),
        (Refusal.NETWORK_PROHIBITED, 403, 2),
    ],
)
def test_how_each_is_told(refusal: Refusal, status: int, code: int) -> None:
    found, body, fields = read(answer_to(refusal, "the cause"))
    assert (found, body) == (status, b"keepline: the cause\n")
    assert b'details="the cause"' in fields[b"proxy-status"]
    assert reply_to(refusal) == answers.reply(code)


@pytest.mark.parametrize("refusal", Refusal)
def test_every_one_is_told(refusal: Refusal) -> None:
    assert read(answer_to(refusal, ""))[0] in answers.REASONS
    assert len(reply_to(refusal)) == 10


@given(st.text(max_size=60))
def test_no_words_break_the_answer(words: str) -> None:
    status, body, fields = read(answer_to(Refusal.REFUSED, words))
    assert status == 502
    assert int(fields[b"content-length"]) == len(body)
    assert fields[b"connection"] == b"close"


def test_a_tunnel_is_answered_without_framing() -> None:
    assert answers.established().startswith(b"HTTP/1.1 200 ")
    assert b"Content-Length" not in answers.established()
