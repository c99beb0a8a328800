"""CONNECT: the request, and answers whole, byte by byte and with what follows them."""

import pytest

from relay.addresses import Destination
from relay.outbound.proxied.answers import Answer, Cut, HttpRefusal, NoProxy, Through
from relay.outbound.proxied.dialogue import LONGEST, Dialogue
from relay.proxies.url import Credentials

TO = Destination("api.example.com", 443)
BANNER = b"SSH-2.0-OpenSSH_9.2\r\n"


def answer_to(data: bytes, size: int) -> tuple[int, Answer | None]:
    """Feed pieces of a size; return how many bytes are the proxy's, and the answer."""
    dialogue, taken = Dialogue(TO, None), 0
    for at in range(0, len(data), size):
        count, answer = dialogue.receive(data[at : at + size])
        taken += count
        if answer is not None:
            return taken, answer
    return taken, None


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.0 200 Connection established\r\n\r\n",
        b"HTTP/1.1 200 Connection established\r\nProxy-Agent: x\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.0 204 \n\n",
    ],
)
def test_what_follows_the_head_is_the_destinations(head: bytes, size: int) -> None:
    assert answer_to(head + BANNER, size) == (len(head), Through())
    assert answer_to(head, size) == (len(head), Through())


@pytest.mark.parametrize("size", [1, 4096])
def test_a_refusal_with_its_schemes(size: int) -> None:
    data = (
        b"HTTP/1.1 407 Proxy Authentication Required\r\n"
        b"Proxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate:\r\n"
        b'Proxy-Authenticate: Basic realm="corp"\r\nContent-Length: 4\r\n\r\nbody'
    )
    schemes = ("negotiate", "ntlm", "basic")
    refusal = HttpRefusal(407, "Proxy Authentication Required", schemes)
    assert answer_to(data, size)[1] == refusal


@pytest.mark.parametrize(
    ("field", "schemes"),
    [
        (b"Negotiate, NTLM", ("negotiate", "ntlm")),
        (
            b'Digest realm="a, Basic b", nonce="x\\", y", algorithm = MD5, Basic',
            ("digest", "basic"),
        ),
        (b"Negotiate oRQwEqADCgEBoQsGCSqGSIb3EgECAg==,Basic realm=corp", ("negotiate", "basic")),
        (b" , ", ()),
    ],
)
def test_one_field_may_name_several_schemes(field: bytes, schemes: tuple[str, ...]) -> None:
    data = b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: " + field + b"\r\n\r\n"
    assert answer_to(data, 4096)[1] == HttpRefusal(407, "Who?", schemes)


def test_squids_own_word() -> None:
    data = b"HTTP/1.1 503 Service Unavailable\r\nX-Squid-Error: ERR_CONNECT_FAIL 111\r\n\r\n"
    refusal = HttpRefusal(503, "Service Unavailable", (), "ERR_CONNECT_FAIL 111")
    assert answer_to(data, 4096) == (len(data), refusal)


def test_more_has_to_come() -> None:
    assert answer_to(b"HTTP/1.1 200 OK\r\nVia: x\r\n", 1) == (25, None)


def test_an_end_before_the_answer() -> None:
    assert Dialogue(TO, None).receive(b"") == (0, Cut())


@pytest.mark.parametrize("data", [BANNER, b"\x05\x00", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000])
def test_what_is_no_proxy(data: bytes) -> None:
    assert isinstance(answer_to(data + b"\r\n\r\n", 4096)[1], NoProxy)


@pytest.mark.parametrize("size", [1, 4096])
def test_an_answer_that_does_not_end_is_none(size: int) -> None:
    endless = b"HTTP/1.1 100 Continue\r\n\r\n" * 2000
    taken, answer = answer_to(endless, size)
    assert answer == NoProxy("its answer does not end")
    assert taken <= LONGEST + size


def test_the_request_names_the_destination() -> None:
    request = b"CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n"
    agent = b"User-Agent: keepline\r\n"
    assert Dialogue(TO, None).request == request + agent + b"\r\n"
    known = Credentials(b"me", "schlüssel".encode())
    basic = b"Proxy-Authorization: Basic bWU6c2NobMO8c3NlbA==\r\n"
    assert Dialogue(TO, known).request == request + agent + basic + b"\r\n"
