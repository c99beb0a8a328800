"""SOCKS5 as a server speaks it: whole, in pieces, with what stands behind it, and refused."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.inbound.proxy.answers import reply
from relay.inbound.proxy.secret import USER, Secret
from relay.inbound.proxy.socks import Connect, Dialogue, Refused, Say, Step

SECRET = Secret.of(b"0123456789abcdef")
LOGIN = bytes([1, len(USER)]) + USER.encode() + bytes([len(SECRET.token)]) + SECRET.token.encode()
NAME = b"\x03\x0bwww.example"
PORT = b"\x01\xbb"


def connect(to: bytes = NAME, port: bytes = PORT, command: int = 1) -> bytes:
    return bytes([5, command, 0]) + to + port


def steps(dialogue: Dialogue, *pieces: bytes) -> list[Step]:
    """Feed pieces; return every step, up to where more is needed."""
    found: list[Step] = []
    for piece in pieces:
        step = dialogue.receive(piece)
        while step is not None:
            found.append(step)
            step = dialogue.receive(b"") if isinstance(step, Say) else None
    return found


def test_a_connection_that_anybody_may_ask_for() -> None:
    dialogue = Dialogue(None)
    assert steps(dialogue, b"\x05\x01\x00", connect() + b"hello") == [
        Say(b"\x05\x00"),
        Connect(("www.example", 443)),
    ]
    assert dialogue.behind == 5
    assert dialogue.receive(b"more") is None


def test_one_for_who_knows_the_token() -> None:
    dialogue = Dialogue(SECRET)
    assert steps(dialogue, b"\x05\x02\x00\x02", LOGIN, connect()) == [
        Say(b"\x05\x02"),
        Say(b"\x01\x00"),
        Connect(("www.example", 443)),
    ]


def test_all_at_once_and_byte_by_byte() -> None:
    whole = b"\x05\x02\x00\x02" + LOGIN + connect()
    together = steps(Dialogue(SECRET), whole)
    assert len(together) == 3
    assert steps(Dialogue(SECRET), *(bytes([each]) for each in whole)) == together


@pytest.mark.parametrize(
    ("to", "host"),
    [
        (b"\x01\xc0\x00\x02\x01", "192.0.2.1"),
        (b"\x03\x09192.0.2.1", "192.0.2.1"),
        (b"\x03\x05127.1", "127.0.0.1"),
        (b"\x03\x09LOCALHOST", "127.0.0.1"),
        (b"\x03\x03::1", "::1"),
        (b"\x04" + bytes(15) + b"\x01", "::1"),
        (b"\x04" + bytes(10) + b"\xff\xff\xc0\x00\x02\x01", "192.0.2.1"),
    ],
)
def test_the_types_of_addresses(to: bytes, host: str) -> None:
    assert steps(Dialogue(None), b"\x05\x01\x00" + connect(to))[-1] == Connect((host, 443))


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (connect(command=2), 7),  # BIND
        (connect(command=3), 7),  # UDP ASSOCIATE
        (connect(command=9), 7),
        (connect(b"\x02\x00\x00\x00\x00"), 8),
        (connect(b"\x04\x20\x01\x0d\xb8" + bytes(12)), 3),
        (connect(port=b"\x00\x00"), 1),
        (connect(b"\x03\x00"), 1),
        (connect(b"\x03\x03a b"), 1),
        (connect(b"\x03\x02\xc3\xbc"), 1),
        (b"\x04\x01\x00\x01\x00", 1),
    ],
)
def test_what_is_refused(message: bytes, code: int) -> None:
    assert steps(Dialogue(None), b"\x05\x01\x00" + message)[-1] == Refused(reply(code))


@pytest.mark.parametrize(
    ("secret", "messages", "last"),
    [
        (SECRET, [b"\x05\x01\x00"], b"\x05\xff"),
        (SECRET, [b"\x05\x00"], b"\x05\xff"),
        (None, [b"\x05\x01\x01"], b"\x05\xff"),
        (SECRET, [b"\x05\x01\x02", b"\x01\x01a\x01b"], b"\x01\x01"),
        (SECRET, [b"\x05\x01\x02", b"\x01\x00\x00"], b"\x01\x01"),
        (SECRET, [b"\x05\x01\x02", b"\x05\x01\x00"], b"\x01\x01"),
        (None, [b"\x04\x01\x01\xbb\xc0\x00\x02\x01\x00"], b"\x00\x5b" + bytes(6)),
        (None, [b"\x06"], b""),
    ],
)
def test_who_is_not_let_in(secret: Secret | None, messages: list[bytes], last: bytes) -> None:
    assert steps(Dialogue(secret), *messages)[-1] == Refused(last)


def test_a_program_that_has_passwords_alone_needs_none_where_none_is_asked_for() -> None:
    found = steps(Dialogue(None), b"\x05\x01\x02", b"\x01\x01a\x01b", connect())
    assert found == [Say(b"\x05\x02"), Say(b"\x01\x00"), Connect(("www.example", 443))]


@given(st.ip_addresses(v=4), st.integers(1, 65535))
def test_every_address_and_port(address: IPv4Address, port: int) -> None:
    data = b"\x05\x01\x00" + connect(b"\x01" + address.packed, port.to_bytes(2, "big"))
    assert steps(Dialogue(None), data)[-1] == Connect((str(address), port))


@given(st.lists(st.binary(max_size=40), max_size=6), st.booleans())
def test_any_bytes_are_read_without_a_fault(pieces: list[bytes], is_open: bool) -> None:
    dialogue = Dialogue(None if is_open else SECRET)
    for step in steps(dialogue, *pieces):
        if isinstance(step, Connect) and not is_open:
            assert LOGIN in b"".join(pieces)
