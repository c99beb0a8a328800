"""Heads that are mended: whatever comes, what goes to h11 has one meaning, or is nothing."""

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.gateway.upstream.heads import may_be_http, mend

PIECES = st.sampled_from(
    [
        *(b"HTTP/1.1 200 OK", b"HTTP/1.1 103 Early", b"HTTP/2 204", b"\r\n", b"\n", b"\r", b" "),
        *(b"X-A : 1", b"X-B: 2", b": 3", b"Content-Length: 5", b"Content-Length : 6", b"\x00"),
        *(b"Transfer-Encoding: chunked", b"Transfer-Encoding : identity", b"\t4", b"hello"),
    ]
)


@pytest.mark.parametrize(
    ("begun", "may_be"),
    [(b"", True), (b"\r\nHT", True), (b"http/1.1", True), (b"SSH", False), (b"HTTPS/", False)],
)
def test_what_may_become_a_response(begun: bytes, may_be: bool) -> None:
    assert may_be_http(begun) is may_be


def test_a_mended_head() -> None:
    assert mend(b"HTTP/2 200 \r\nX-A\t:  1 \nX B: 2\n 3\r\nContent-Length: +5\r\n\r\nhello") == (
        b"HTTP/1.1 200 \r\nX-A: 1\r\nContent-Length: 5\r\n\r\nhello"
    )
    assert mend(b"HTTP/1.1 103 Early\nA : 1\n\nHTTP/1.1 204 No\nB : 2\n\n") == (
        b"HTTP/1.1 103 Early\r\nA: 1\r\n\r\nHTTP/1.1 204 No\r\nB: 2\r\n\r\n"
    )


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nX-A : 1\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 101 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n X-A: 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: 1\r2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: \x00\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    ],
)
def test_what_is_not_mended(head: bytes) -> None:
    assert mend(head) is None


@given(st.lists(PIECES, max_size=20).map(b"".join))
@example(b"HTTP/1.1 200 OK\nContent-Length : 5\n\nhello")
def test_what_is_mended_is_one_head_of_one_length(came: bytes) -> None:
    mended = mend(came)
    if mended is None:
        return
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method=b"GET", target=b"/", headers=[(b"Host", b"x")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(mended)
    event = reader.next_event()
    while isinstance(event, h11.InformationalResponse):
        event = reader.next_event()
    assert isinstance(event, h11.Response)
    names = [name.lower() for name, _value in event.headers.raw_items()]
    told = [name for name in names if name in {b"content-length", b"transfer-encoding"}]
    assert len(told) <= 1
