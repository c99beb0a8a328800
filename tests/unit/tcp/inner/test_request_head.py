"""All names that a request's head asks for are read, or it is said that it cannot be."""

import pytest

from relay.tcp.inner.asked import Incomplete, Names, Unreadable
from relay.tcp.inner.request_head import LIMIT, read


def get(*lines: str, target: str = "/", method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (get("Host: a.test"), ("a.test",)),
        (get("hOST:A.Test. \t", "Accept: */*"), ("a.test",)),
        (get("Host: a.test:8080"), ("a.test",)),
        (get("Host: a.test:"), ("a.test",)),
        (get("Host: 192.0.2.1:80"), ("192.0.2.1",)),
        (get("X-Host: b.test", "Host: a.test", "Forwarded: host=c.test"), ("a.test",)),
        (get("Host: a.test", target="*", method="OPTIONS"), ("a.test",)),
        (get("Host: a.test", target="http://b.test/x?y#z"), ("b.test", "a.test")),
        (get("Host: a.test", target="HTTP://B.test"), ("b.test", "a.test")),
        (get("Host: a.test", target="ftp://b.test:21/"), ("b.test", "a.test")),
        (get("Host: a.test", target="http://a.test/"), ("a.test",)),
        (get(target="http://b.test/"), ("b.test",)),
        (get("Host: a.test", target="b.test:443", method="CONNECT"), ("b.test", "a.test")),
        (get("Host:"), ()),
        (get(), ()),
        (b"GET / HTTP/1.0\n\n", ()),
        (b"GET / HTTP/1.1\nHost: a.test\n\nmore\nHost: b.test\n\n", ("a.test",)),
        (b"\r\n\n\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n", ("a.test",)),
        (get("Host: a.test", "Name: v\xe4lue", method="M-SEARCH"), ("a.test",)),
    ],
)
def test_the_names_of_a_head_are_read_once_it_is_whole(data: bytes, names: tuple[str, ...]) -> None:
    assert read(data) == Names(names)
    head = data[: data.index(b"\n\r\n" if b"\n\r\n" in data.lstrip() else b"\n\n", 5)]
    for size in range(len(head)):
        assert read(head[:size]) == Incomplete(), head[:size]


@pytest.mark.parametrize(
    "data",
    [
        get("Host: a.test", "Host: a.test"),
        get("Host: a.test", " b.test"),
        get("Host: a.test", "\tb.test"),
        get("Host : a.test"),
        get("\x0bHost: a.test"),
        get("Host: a.test", "host"),
        get("Host: a.test\rHost: b.test"),
        get("Host: a.test\0"),
        get("Host: a.test, b.test"),
        get("Host: a.test b.test"),
        get("Host: user@a.test"),
        get("Host: [::1]"),
        get("Host: a.test:80:80"),
        get("Host: a..test"),
        get("Host: b\xfccher.test"),
        get("Host: a.test", target="http://user@b.test/"),
        get("Host: a.test", target="http:///x"),
        get("Host: a.test", target="b.test"),
        get("Host: a.test", target="//b.test/".lstrip("/")),
        get("Host: a.test", target="", method="CONNECT"),
        b"GET /\r\nHost: a.test\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a.test\r\n\r\n",
        b"GET / http/1.1\r\nHost: a.test\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"GET\t/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b" GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6p1-and-a-long-comment\r\n",
        b"\0\0\0\1",
        b"GET / HTTP/1.1\r\nX: " + b"x" * LIMIT,
        b"\r\n" * LIMIT,
    ],
)
def test_what_servers_may_read_in_another_way_is_unreadable(data: bytes) -> None:
    assert isinstance(read(data), Unreadable)


def test_long_heads_take_no_time() -> None:
    """Fields of spaces, and heads that come byte by byte."""
    assert isinstance(read(get("Host: a.test", "X:" + " " * LIMIT + "x")), Names)
