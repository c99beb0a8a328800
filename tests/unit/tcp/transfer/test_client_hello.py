"""ClientHellos are read whole or not at all, and tell programs apart, not their connections."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.tcp.transfer.client_hello import (
    LIMIT,
    ClientHello,
    Fingerprint,
    Incomplete,
    NoClientHello,
    read,
)
from tests.support.inprocess import client_hello as hello

REAL = hello.real()
GREASE = [number << 8 | number for number in range(0x0A, 0x100, 0x10)]
SERVER_NAME, PADDING, TICKET, PSK, EARLY_DATA, COOKIE, PSK_MODES = 0, 21, 35, 41, 42, 44, 45


def numbers(*values: int) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in values)


def offering(*extensions: tuple[int, bytes], ciphers: tuple[int, ...] = (0x1301, 0x1302)) -> bytes:
    """Write a ClientHello with these extensions in this order."""
    block = b"".join(hello.extension(kind, data) for kind, data in extensions)
    body = b"\x03\x03" + bytes(32) + hello.vector(1, b"id") + hello.vector(2, numbers(*ciphers))
    body += hello.vector(1, b"\0") + hello.vector(2, block)
    return hello.record(b"\x01" + hello.vector(3, body))


def fingerprint(data: bytes) -> Fingerprint:
    first = read(data)
    assert isinstance(first, ClientHello)
    return first.fingerprint()


GROUPS = (10, hello.vector(2, numbers(29, 23)))
SIGNATURES = (13, hello.vector(2, numbers(0x0403, 0x0804)))
PROTOCOLS = (16, b"\0\x03\x02h2")
VERSIONS = (43, hello.vector(1, numbers(0x0304, 0x0303)))
SHARES = (51, b"\0\x02\0\x1d")
ALL = (GROUPS, SIGNATURES, PROTOCOLS, VERSIONS, SHARES)


def test_what_it_consists_of() -> None:
    assert fingerprint(offering(*ALL)) == Fingerprint(
        ciphers=(0x1301, 0x1302),
        extensions=frozenset({10, 13, 16, 43, 51}),
        groups=(29, 23),
        signatures=(0x0403, 0x0804),
        versions=(0x0304, 0x0303),
        protocols=b"\0\x03\x02h2",
    )


def test_the_same_library_has_the_same_whatever_name_it_asks_for() -> None:
    assert fingerprint(hello.real("a.test")) == fingerprint(hello.real("much-longer.example"))
    assert fingerprint(REAL) != fingerprint(hello.real(tls12=True))


@pytest.mark.parametrize("kind", [SERVER_NAME, PADDING, TICKET, PSK, EARLY_DATA, COOKIE, PSK_MODES])
def test_what_one_connection_adds_does_not_count(kind: int) -> None:
    assert fingerprint(offering(*ALL, (kind, b"any"))) == fingerprint(offering(*ALL))


@pytest.mark.parametrize(
    "other",
    [
        offering(*ALL, ciphers=(0x1302, 0x1301)),
        offering(*ALL, (23, b"")),
        offering((10, hello.vector(2, numbers(23, 29))), *ALL[1:]),
        offering(GROUPS, (13, hello.vector(2, numbers(0x0804))), *ALL[2:]),
        offering(GROUPS, SIGNATURES, (16, b"\0\x09\x08http/1.1"), VERSIONS, SHARES),
        offering(GROUPS, SIGNATURES, PROTOCOLS, (43, hello.vector(1, numbers(0x0304))), SHARES),
    ],
    ids=["order of ciphers", "an extension", "groups", "signatures", "protocols", "versions"],
)
def test_how_a_library_is_set_does(other: bytes) -> None:
    assert fingerprint(other) != fingerprint(offering(*ALL))


def test_a_list_that_cannot_be_read_is_as_if_empty() -> None:
    assert fingerprint(offering((10, b"\0\x09\0\x1d"), (43, b""))).groups == ()


@given(
    st.randoms(use_true_random=False),
    st.sampled_from(GREASE),
    st.sampled_from(GREASE),
    st.sampled_from(GREASE),
)
def test_grease_and_the_order_of_extensions_do_not_count(
    order: random.Random, cipher: int, kind: int, group: int
) -> None:
    """As BoringSSL writes them in Chrome and in Bun."""
    groups = (10, hello.vector(2, numbers(group, 29, 23)))
    versions = (43, hello.vector(1, numbers(kind, 0x0304, 0x0303)))
    extensions = [(kind, b""), groups, SIGNATURES, PROTOCOLS, versions, SHARES]
    order.shuffle(extensions)
    greased = offering(*extensions, ciphers=(cipher, 0x1301, 0x1302))
    assert fingerprint(greased) == fingerprint(offering(*ALL))


def test_only_the_values_of_rfc_8701_are_grease() -> None:
    for near in (0x0A1A, 0x0A0B, 0x0B0B, 0x1301):
        assert near in fingerprint(offering(ciphers=(near,))).ciphers


@given(st.integers(0, len(REAL) - 1))
def test_a_part_is_incomplete(length: int) -> None:
    assert read(REAL[:length]) == Incomplete()


@given(st.integers(1, len(REAL) - 5), st.integers(0, 3))
def test_it_may_span_records_of_any_size(size: int, behind: int) -> None:
    """As where post-quantum key shares make it larger than a segment."""
    message = REAL[5:]
    split = b"".join(hello.record(message[at : at + size]) for at in range(0, len(message), size))
    assert fingerprint(split) == fingerprint(REAL)
    assert isinstance(read(split[: len(split) - 1]), Incomplete)
    first = read(split + bytes(behind))
    assert isinstance(first, ClientHello)
    assert first.is_alone is (behind == 0)


def test_a_large_one_is_read() -> None:
    large = offering((51, bytes(LIMIT - 200)), *ALL[:4])
    assert len(large) < LIMIT
    assert fingerprint(large) == fingerprint(offering(*ALL))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x80\x2e\x01\x03\x01",
        b"\x16\x02",
        b"\x16\x03\x01\0\0",
        b"\x16\x03\x01\xff\xff",
        hello.record(hello.message(kind=2)),
        hello.record(hello.message(tail=b"x")),
        hello.record(b"\x01\0\0\x05\x03\x03\0\0\0"),
        offering(ciphers=(1,)).replace(b"\0\x02\0\x01", b"\0\x01\0\0\x01"),
    ],
)
def test_all_else_is_none(data: bytes) -> None:
    assert read(data) == NoClientHello()


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(data: bytes) -> None:
    read(data)


@given(st.integers(0, len(REAL) - 1), st.integers(0, 255))
def test_any_changed_byte_is_judged(at: int, value: int) -> None:
    first = read(REAL[:at] + bytes([value]) + REAL[at + 1 :])
    if isinstance(first, ClientHello):
        first.fingerprint()
