"""The name in a ClientHello is read whatever its pieces are, or it is said that it cannot be."""

import pytest

from relay.tcp.inner.asked import Incomplete, Names, Other, Unreadable
from relay.tcp.inner.server_name import LIMIT, read
from tests.support.inprocess.client_hello import extension, message, real, record, vector


def hello(name: bytes, kind: int = 0) -> bytes:
    """Build a ClientHello with a server name."""
    return record(message(named(name, kind)))


def named(name: bytes, kind: int = 0) -> bytes:
    return extension(0, vector(2, bytes([kind]) + vector(2, name)))


@pytest.mark.parametrize("tls12", [False, True])
def test_a_real_one_is_read_once_it_is_whole(tls12: bool) -> None:
    data = real("Server.TEST", tls12=tls12)
    for size in range(1, len(data)):
        assert read(data[:size]) == Incomplete(), size
    assert read(data) == read(data + b"more") == Names(("server.test",))


def test_it_may_stand_in_several_records() -> None:
    whole = message(named(b"a.test"))
    assert read(b"".join(record(whole[at : at + 7]) for at in range(0, len(whole), 7))) == Names(
        ("a.test",)
    )
    whole = message(named(b"a.longer.name.test"))
    many = b"".join(record(whole[at : at + 1]) for at in range(len(whole)))
    assert isinstance(read(many), Unreadable), "a record for each byte"


@pytest.mark.parametrize(
    ("name", "read_as"),
    [
        (b"a.test.", "a.test"),
        (b"A_B-1.TEST", "a_b-1.test"),
        (b"192.0.2.1", "192.0.2.1"),
        (b"xn--bcher-kva.test", "xn--bcher-kva.test"),
    ],
)
def test_names_are_read_as_they_are_compared(name: bytes, read_as: str) -> None:
    assert read(hello(name)) == Names((read_as,))


def test_without_a_name_there_is_none() -> None:
    assert read(record(message())) == read(record(message(None))) == Names()


@pytest.mark.parametrize(
    "name",
    [
        *(b"", b".", b"a..test", b".a.test", b"a\0.test", b"a test", b"\\097.test"),
        *(
            "bücher.test".encode(),
            b"a" * 64 + b".test",
            b"a." * 130 + b"test",
            b"::1",
            b"a.test:443",
        ),
    ],
)
def test_what_is_no_host_name_is_unreadable(name: bytes) -> None:
    assert isinstance(read(hello(name)), Unreadable)


@pytest.mark.parametrize(
    "data",
    [
        hello(b"a.test", kind=1),
        record(message(extension(0))),
        record(message(extension(0, vector(2, b"\0" + vector(2, b"a.test") * 2)))),
        record(message(extension(0, vector(2, b"\0" + vector(2, b"a.test")) + b"x"))),
        record(message(named(b"a.test") + named(b"b.test"))),  # twice
        record(message(kind=2)),
        record(b""),
        record(message(), kind=21) + real(),  # some servers ignore an alert before it
        record(b"\1", kind=20) + real(),
        b"\x17\3\3\0\1x",
        b"\x16\3" + b"\xff" * 8,
    ],
)
def test_tls_that_is_not_one_clear_clienthello_is_unreadable(data: bytes) -> None:
    assert isinstance(read(data), Unreadable)


def test_one_that_does_not_end_is_unreadable() -> None:
    begin = b"\x16\3\1\x40\0\1\0\x50\0"
    assert read(begin + bytes(100)) == Incomplete()
    assert isinstance(read(begin + bytes(LIMIT)), Unreadable)


@pytest.mark.parametrize("data", [b"\x16\2\0\0", b"\x13\3", b"\x19\3", b"GET ", b"SSH-2.0-x\r\n"])
def test_what_is_no_tls_is_other(data: bytes) -> None:
    assert read(data) == Other()


@pytest.mark.parametrize("first", range(0x14, 0x19))
def test_a_first_byte_alone_may_become_tls(first: int) -> None:
    assert read(bytes([first])) == Incomplete()
