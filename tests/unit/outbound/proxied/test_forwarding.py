"""A request with an absolute target: framed as it was, for the destination that was dialled."""

import pytest

from relay.addresses import Destination
from relay.outbound.proxied.forwarding import Forwarding, NotHttpError
from relay.proxies.url import Credentials

TO = Destination("web.test", 80)
HEAD = b"Host: web.test\r\nConnection: close\r\n"


def passed(data: bytes, size: int = 4096, to: Destination = TO) -> bytes:
    forwarding = Forwarding(to, None)
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    out = b"".join(map(forwarding.receive, pieces))
    assert forwarding.is_done
    assert forwarding.receive(b"") == b""
    return out


@pytest.mark.parametrize("size", [1, 4096])
@pytest.mark.parametrize(
    ("asked", "first"),
    [
        (b"GET / HTTP/1.1", b"GET http://web.test/ HTTP/1.1"),
        (b"GET /a?b=c HTTP/1.1", b"GET http://web.test/a?b=c HTTP/1.1"),
        (b"GET http://evil.test/x HTTP/1.1", b"GET http://web.test/x HTTP/1.1"),
        (b"GET http://evil.test HTTP/1.1", b"GET http://web.test/ HTTP/1.1"),
        (b"GET HTTP://evil.test?b=/c HTTP/1.1", b"GET http://web.test/?b=/c HTTP/1.1"),
        (b"OPTIONS * HTTP/1.1", b"OPTIONS http://web.test HTTP/1.1"),
    ],
)
def test_the_target_is_where_it_was_dialled(asked: bytes, first: bytes, size: int) -> None:
    fields = b"Host: evil.test\r\nProxy-Connection: x\r\nAccept: */*\r\nConnection: a\r\n"
    out = first + b"\r\nAccept: */*\r\n" + HEAD + b"\r\n"
    data = asked + b"\r\n" + fields + b"\r\n"
    assert sorted(passed(data, size).split(b"\r\n")) == sorted(out.split(b"\r\n"))


def test_what_is_of_one_hop_is_not_passed_on() -> None:
    """Without Connection, which is ours, a server might still take an upgrade at its word."""
    fields = (
        b"Connection: Upgrade, X-One\r\nUpgrade: h2c\r\nTE: trailers\r\nX-One: 1\r\nX-Two: 2\r\n"
    )
    out = passed(b"GET / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")
    first = b"GET http://web.test/ HTTP/1.1\r\n"
    assert out == first + HEAD + b"X-Two: 2\r\n\r\n"


@pytest.mark.parametrize("size", [1, 4096])
@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (b"Content-Length: 4\r\n", b"body"),
        (b"Transfer-Encoding: chunked\r\n", b"4\r\nbody\r\n0\r\n\r\n"),
    ],
)
def test_a_body_passes_and_nothing_behind_it(fields: bytes, body: bytes, size: int) -> None:
    data = b"POST / HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n" + body
    out = passed(data + b"GET http://evil.test/ HTTP/1.1\r\n\r\n", size)
    assert b"evil" not in out
    assert fields.strip() in out
    inside = out.partition(b"\r\n\r\n")[2]
    assert b"".join(line for line in inside.split(b"\r\n") if line.isalpha()) == b"body"


def test_no_second_request_hides_in_a_body_of_two_lengths() -> None:
    """A proxy that goes by the length would take the chunks for it."""
    both = b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    hidden = b"GET http://evil.test/ HTTP/1.1\r\n\r\n"
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(hidden), hidden)
    out = passed(b"POST / HTTP/1.1\r\nHost: x\r\n" + both + chunks)
    head, _, _body = out.partition(b"\r\n\r\n")
    assert b"content-length" not in head.lower()
    assert b"transfer-encoding: chunked" in head.lower()


def test_another_port_and_credentials() -> None:
    forwarding = Forwarding(Destination("web.test", 8080), Credentials(b"me", b"pw"))
    out = forwarding.receive(b"GET / HTTP/1.0\r\n\r\n")
    assert out.startswith(b"GET http://web.test:8080/ HTTP/1.1\r\nHost: web.test:8080\r\n")
    assert b"Proxy-Authorization: Basic bWU6cHc=\r\n" in out


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"CONNECT evil.test:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"connect http://evil.test/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
        b"GET x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 70_000,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: a\r\n\r\n",
    ],
)
def test_what_is_no_request_is_not_passed(data: bytes) -> None:
    with pytest.raises(NotHttpError):
        Forwarding(TO, None).receive(data)


def test_an_end_in_the_middle() -> None:
    forwarding = Forwarding(TO, None)
    forwarding.receive(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbo")
    with pytest.raises(NotHttpError):
        forwarding.receive(b"")
    assert Forwarding(TO, None).receive(b"") == b""


@pytest.mark.parametrize("size", [1, 4096])
@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody"),
        (b"GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"),
        (b"GET", b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"),
    ],
)
def test_an_answer_is_over_by_its_own_word(method: bytes, answer: bytes, size: int) -> None:
    forwarding = Forwarding(TO, None)
    forwarding.receive(method + b" / HTTP/1.1\r\nHost: x\r\n\r\n")
    pieces = [answer[at : at + size] for at in range(0, len(answer), size)]
    over = [forwarding.has_answered(piece) for piece in pieces]
    assert over == [False] * (len(pieces) - 1) + [True]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\n\r\nbody", b"ICY 200 OK\r\n\r\nbody"])
def test_or_when_the_connection_is(answer: bytes) -> None:
    forwarding = Forwarding(TO, None)
    forwarding.receive(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert not forwarding.has_answered(answer)
    assert not forwarding.has_answered(b"more")
