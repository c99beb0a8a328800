"""Requests to a proxy: which are tunnels, which are forwarded, and as what; all else in words."""

import base64

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.inbound.proxy.requests import (
    MOST,
    MOST_OF_LINE,
    Asked,
    Forward,
    OwnPath,
    Reader,
    Refused,
    Rest,
    Tunnel,
    may_be_own_path,
    own_path,
)
from relay.inbound.proxy.secret import USER, Secret

SECRET = Secret.of(b"0123456789abcdef")
LOGIN = base64.b64encode(f"{USER}:{SECRET.token}".encode()).decode()
SECRETS = [None, SECRET]


def request(first: str, *fields: str, secret: Secret | None = None) -> bytes:
    shown = [f"Proxy-Authorization: Basic {LOGIN}"] if secret is not None else []
    return "\r\n".join([first, *fields, *shown, "", ""]).encode()


def asked(data: bytes, secret: Secret | None = None) -> Asked:
    found = Reader(secret).receive(data)
    assert found is not None
    return found


def status(found: Asked) -> int:
    assert isinstance(found, Refused)
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    client.receive_data(found.answer)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    return response.status_code


def body(found: Asked) -> str:
    assert isinstance(found, Refused)
    return found.answer.partition(b"\r\n\r\n")[2].decode()


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("behind", [b"", b"\x16\x03\x01hello", b"GET / HTTP/1.1\r\n\r\n"])
def test_a_tunnel_and_what_stands_behind_its_head(secret: Secret | None, behind: bytes) -> None:
    head = request("CONNECT www.example:443 HTTP/1.1", "Host: www.example:443", secret=secret)
    reader = Reader(secret)
    assert reader.receive(head + behind) == Tunnel(("www.example", 443))
    assert reader.behind == len(behind)


def test_a_head_in_pieces() -> None:
    data = request("CONNECT www.example:443 HTTP/1.0") + b"more"
    for at in range(1, len(data) - 4):
        reader = Reader(None)
        assert reader.receive(data[:at]) is None
        assert reader.receive(data[at:]) == Tunnel(("www.example", 443))
        assert reader.behind == 4


@pytest.mark.parametrize(
    "target", ["[::1]:80", "127.1:80", "192.0.2.1:1", "LOCALHOST:65535", "[::ffff:1.2.3.4]:443"]
)
def test_tunnels_to_addresses(target: str) -> None:
    assert isinstance(asked(request(f"CONNECT {target} HTTP/1.1", "Host: x")), Tunnel)


@pytest.mark.parametrize(
    "target",
    ["www.example", "www.example:0", "a..b:443", "u@h:443", "https://h:443", "[2001:db8::1]:443"],
)
def test_tunnels_to_nowhere_are_refused_in_words(target: str) -> None:
    found = asked(request(f"CONNECT {target} HTTP/1.1", "Host: x"))
    assert status(found) == 400
    assert "cannot be connected to" in body(found)


def test_a_connect_has_no_body() -> None:
    for framing in ("Content-Length: 5", "Transfer-Encoding: chunked"):
        assert status(asked(request("CONNECT h:1 HTTP/1.1", "Host: h", framing))) == 400
    none = request("CONNECT h:1 HTTP/1.1", "Host: h", "Content-Length: 0")
    assert asked(none) == Tunnel(("h", 1))


@pytest.mark.parametrize(
    ("target", "to", "first"),
    [
        ("http://www.example/a?b=/c", ("www.example", 80), "GET /a?b=/c HTTP/1.1"),
        ("HTTP://www.example", ("www.example", 80), "GET / HTTP/1.1"),
        ("http://www.example:8080?a/b", ("www.example", 8080), "GET /?a/b HTTP/1.1"),
        ("http://192.0.2.1:/", ("192.0.2.1", 80), "GET / HTTP/1.1"),
        ("http://[::1]:8080/", ("::1", 8080), "GET / HTTP/1.1"),
    ],
)
def test_a_request_is_forwarded_by_its_target(target: str, to: tuple[str, int], first: str) -> None:
    found = asked(request(f"GET {target} HTTP/1.1", "Host: other.example"))
    assert isinstance(found, Forward)
    assert found.to == to
    lines = found.head.decode().split("\r\n")
    authority = target[len("http://") :].partition("/")[0].partition("?")[0]
    assert lines[:2] == [first, f"Host: {authority}"]
    assert lines[-3:] == ["Connection: close", "", ""]
    assert "other.example" not in found.head.decode()


def test_fields_of_one_hop_are_not_forwarded_and_all_others_are() -> None:
    kept = ["X-One: 1", "x-two: 2", "Content-Length: 4", "Expect: 100-continue", "Authorization: x"]
    dropped = [
        "Proxy-Connection: keep-alive",
        "Keep-Alive: 3",
        "Connection: keep-alive, X-Hop, Content-Length, Upgrade",
        "X-Hop: 1",
        "TE: trailers",
        "Upgrade: h2c",
        "HTTP2-Settings: x",
    ]
    data = request("POST http://h/ HTTP/1.1", "Host: h", *kept, *dropped, secret=SECRET)
    found = asked(data, SECRET)
    assert isinstance(found, Forward)
    lines = found.head.decode().split("\r\n")
    assert lines == ["POST / HTTP/1.1", "Host: h", *kept, "Connection: close", "", ""]
    assert SECRET.token not in repr(found)


def test_options_about_the_server_itself() -> None:
    found = asked(request("OPTIONS http://h HTTP/1.1", "Host: h"))
    assert isinstance(found, Forward)
    assert found.head.startswith(b"OPTIONS * HTTP/1.1\r\n")


def test_a_version_stays() -> None:
    found = asked(request("GET http://h/ HTTP/1.0"))
    assert isinstance(found, Forward)
    assert found.head == b"GET / HTTP/1.0\r\nHost: h\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "fields", "wanted"),
    [
        ("GET https://h/ HTTP/1.1", ["Host: h"], 501),
        ("GET ftp://h/ HTTP/1.1", ["Host: h"], 501),
        ("OPTIONS * HTTP/1.1", ["Host: h"], 400),
        ("GET h HTTP/1.1", ["Host: h"], 400),
        ("GET http:/// HTTP/1.1", ["Host: h"], 400),
        ("GET http://u@h/ HTTP/1.1", ["Host: h"], 400),
        ("GET http://h/#f HTTP/1.1", ["Host: h"], 400),
        ("GET http://h/ HTTP/1.1", [], 400),
        ("GET http://h/ HTTP/1.1", ["Host: h", "Host: i"], 400),
        ("GET http://h/ HTTP/1.1", ["Host: h", "Content-Length: 1", "Content-Length: 2"], 400),
        ("POST http://h/ HTTP/1.0", ["Transfer-Encoding: chunked"], 400),
        (
            "POST http://h/ HTTP/1.1",
            ["Host: h", "Content-Length: 1", "Transfer-Encoding: chunked"],
            400,
        ),
        ("GET http://h/ HTTP/1.1", ["Host: h", "Transfer-Encoding: gzip"], 501),
        ("GET http://h/ HTTP/1.1", ["Host: h", "X: a", " folded"], 0),
        ("\x16\x03\x01", [], 400),
        ("GET", [], 400),
    ],
)
def test_what_is_not_served(first: str, fields: list[str], wanted: int) -> None:
    found = asked(request(first, *fields))
    if wanted:
        assert status(found) in {wanted, 400}
        assert body(found).startswith("keepline: ")
    else:
        assert isinstance(found, Forward)
        assert b"folded" in found.head


def test_a_head_without_end() -> None:
    reader = Reader(None)
    assert reader.receive(b"GET http://h/ HTTP/1.1\r\nHost: h\r\n") is None
    found = reader.receive(b"X: " + b"x" * MOST)
    assert found is not None
    assert status(found) == 431


def test_an_end_before_a_request_is_answered_by_nothing() -> None:
    reader = Reader(None)
    assert reader.receive(b"") == Refused(b"")


def test_an_end_within_a_request() -> None:
    reader = Reader(None)
    assert reader.receive(b"GET http") is None
    assert isinstance(reader.receive(b""), Refused)


def test_the_token_is_asked_for() -> None:
    for first in ("CONNECT h:443 HTTP/1.1", "GET http://h/ HTTP/1.1", "GET https://h/ HTTP/1.1"):
        found = asked(request(first, "Host: h"), SECRET)
        assert status(found) == 407
        assert isinstance(found, Refused)
        assert b"Proxy-Authenticate: Basic" in found.answer
    twice = [f"Proxy-Authorization: Basic {LOGIN}"] * 2
    assert status(asked(request("CONNECT h:443 HTTP/1.1", "Host: h", *twice), SECRET)) == 407


def test_a_path_is_this_servers_own() -> None:
    data = request("GET /v1/x?a HTTP/1.1", "Host: x")
    assert own_path(data) == OwnPath(b"/v1/x?a")
    known = len(b"GET /v1/x?a ")
    for at in range(len(data)):
        assert (own_path(data[:at]) is not None) == (at >= known)
        assert may_be_own_path(data[:at]) == (at < known)


@pytest.mark.parametrize(
    "data",
    [
        b"CONNECT h",
        b"GET http://h/ HTTP/1.1",
        b"GET * ",
        b" /v1/x ",
        b"GET  /v1/x ",
        b"G\0T /",
        b"GET /\r\n",
        b"\x16\x03\x01",
        b"GET /" + b"x" * MOST_OF_LINE,
    ],
)
def test_what_is_no_path(data: bytes) -> None:
    assert own_path(data) is None
    assert not may_be_own_path(data)
    assert not isinstance(Reader(None).receive(data), Tunnel)


def test_a_path_that_is_too_long_is_refused() -> None:
    assert status(asked(request(f"GET /{'x' * MOST_OF_LINE} HTTP/1.1", "Host: h"))) == 400
    assert status(asked(request("GET /x HTTP/1.1", "Host: h"), SECRET)) == 407


def rest(*fields: str) -> Rest:
    found = asked(request("POST http://h/ HTTP/1.1", "Host: h", *fields))
    assert isinstance(found, Forward)
    return found.rest


def test_nothing_behind_a_request_is_passed_on() -> None:
    without = rest()
    assert without.is_over
    assert without.part(b"GET http://other/ HTTP/1.1\r\n\r\n") == 0
    counted = rest("Content-Length: 5")
    assert [counted.part(each) for each in (b"", b"ab", b"cdeGET", b"x")] == [0, 2, 3, 0]
    assert counted.is_over


@given(st.lists(st.binary(min_size=1, max_size=20), max_size=5), st.data())
def test_a_chunked_body_ends_where_it_ends(chunks: list[bytes], data: st.DataObject) -> None:
    sent = b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in chunks) + b"0\r\nA: b\r\n\r\n"
    whole, chunked = sent + b"GET /", rest("Transfer-Encoding: chunked")
    at = passed = 0
    while at < len(whole):
        size = data.draw(st.integers(1, 9))
        passed += chunked.part(memoryview(whole)[at : at + size])
        at += size
    assert passed == len(sent)
    assert chunked.is_over


def test_a_body_that_is_none_ends_it() -> None:
    chunked = rest("Transfer-Encoding: chunked")
    assert chunked.part(b"no chunk\r\n") == 0
    assert chunked.is_over


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_a_fault(data: bytes) -> None:
    for secret in SECRETS:
        found = Reader(secret).receive(data)
        assert found is None or isinstance(found, Tunnel | Forward | Refused)


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60))
def test_any_target_is_served_or_refused_in_words(target: str) -> None:
    for method in ("CONNECT", "GET"):
        data = request(f"{method} {target} HTTP/1.1", "Host: h")
        assert (own_path(data) is not None) == target.startswith("/")
        found = asked(data)
        if isinstance(found, Refused):
            assert status(found) in {400, 501}
