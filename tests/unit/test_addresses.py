"""Hosts, ports and addresses: read in one place, and judged as the kernel and the standard do."""

import socket
from ipaddress import AddressValueError, IPv4Address, IPv4Network

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.addresses import (
    Destination,
    ipv4_number,
    ipv4_text,
    is_dialable,
    is_ipv4,
    numbers_and_dots,
    parse_destination,
    parse_pool,
    split_port,
)
from relay.config import Settings

IPV4 = st.integers(0, (1 << 32) - 1).map(IPv4Address)


@given(IPV4)
def test_every_address_is_one(address: IPv4Address) -> None:
    assert is_ipv4(str(address))
    assert ipv4_number(str(address)) == int(address)


@given(st.text(alphabet="0123456789./x ²", max_size=18) | st.text())
def test_what_the_standard_library_refuses_is_none(text: str) -> None:
    try:
        IPv4Address(text)
    except AddressValueError:
        assert not is_ipv4(text)
    else:
        assert is_ipv4(text)


@given(IPV4)
@example(IPv4Address("223.255.255.255"))
@example(IPv4Address("224.0.0.1"))
@example(IPv4Address("240.0.0.1"))
@example(IPv4Address("255.255.255.255"))
def test_what_may_be_dialled(address: IPv4Address) -> None:
    assert is_dialable(str(address)) is not (
        address.is_loopback
        or address.is_multicast
        or address.is_unspecified
        or address == IPv4Address("255.255.255.255")
    )


@given(IPV4)
def test_numbers_and_addresses(address: IPv4Address) -> None:
    assert ipv4_number(str(address)) == int(address)
    assert ipv4_text(int(address)) == str(address)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "192.0.2.1",
            "127.1",
            "127.53",
            "10.1.258",
            "3232235521",
            "0x7f.1",
            "0X7F000001",
            "010.1",
        ),
        *("0", "0.0.0.0", "1.2.3.256", "1.2.65536", "256.1", "4294967296", "08.1", "010.1"),
        *("1.2.3.4.5", "", ".", "1.", "a", "0x", "1.2.3.4 ", "-1", "1.2.3.4x"),
    ],
)
def test_numbers_and_dots_are_what_libc_reads(text: str) -> None:
    """inet_aton(3), but for what may stand behind a blank."""
    try:
        expected = socket.inet_ntoa(socket.inet_aton(text)) if " " not in text else None
    except OSError:
        expected = None
    assert numbers_and_dots(text) == expected


@pytest.mark.parametrize("text", ["198.18.0.0/15", "10.0.0.0/8", "192.168.4.0/22", "240.0.0.0/5"])
def test_pools(text: str) -> None:
    assert parse_pool(text) == IPv4Network(text)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "is not an IPv4 network"),
        ("fd00::/8", "is not an IPv4 network"),
        ("10.0.0.1/8", "is not an IPv4 network"),
        ("8.8.0.0/16", "is in none of 10.0.0.0/8"),
        ("127.0.0.0/8", "is in none of"),
        ("0.0.0.0/0", "is in none of"),
        ("10.0.0.0/23", "is too small"),
        ("240.0.0.0/4", "has 255.255.255.255 in it"),
    ],
)
def test_bad_pools_are_told(text: str, cause: str) -> None:
    with pytest.raises(ValueError) as caught:
        Settings(dns_pool=text)
    assert str(caught.value).startswith(f"{text!r} {cause}")


def test_a_destination_is_a_name_or_an_address() -> None:
    assert Destination("api.example", 443).name == "api.example"
    assert Destination("192.0.2.1", 443).name is None
    assert str(Destination("api.example", 443)) == "api.example:443"
    assert Destination("192.0.2.1", 53).without_port(53) == "192.0.2.1"
    assert Destination("192.0.2.1", 5353).without_port(53) == "192.0.2.1:5353"


@pytest.mark.parametrize(
    ("text", "split"),
    [("a", ("a", None)), ("a:1", ("a", 1)), (":65535", ("", 65535)), ("a:0443", ("a", 443))],
)
def test_a_port_is_split_off(text: str, split: tuple[str, int | None]) -> None:
    assert split_port(text) == split


@pytest.mark.parametrize("text", ["a:", "a:0", "a:65536", "a:x", "a:+1", "a:1:2", "a:²"])
def test_a_port_is_a_number_in_range(text: str) -> None:
    with pytest.raises(ValueError, match="no number from 1 to 65535"):
        split_port(text)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("api.anthropic.com", ("api.anthropic.com", 443)),
        ("API.Anthropic.com.:8443", ("api.anthropic.com", 8443)),
        ("192.0.2.1", ("192.0.2.1", 443)),
    ],
)
def test_hosts(text: str, read: tuple[str, int]) -> None:
    assert parse_destination(text, 443) == read


def test_a_host_has_253_characters_at_most() -> None:
    """RFC 1035, section 2.3.4: 255 bytes on the way, with a length before each label and a root."""
    host = ".".join(["a" * 63] * 3 + ["a" * 61])
    assert parse_destination(host, 443) == (host, 443)
    with pytest.raises(ValueError, match="no host name"):
        parse_destination(f"{host}a", 443)


@pytest.mark.parametrize("text", ["", ":443", "a:", "a/b", "https://a.example", "localhost", "::1"])
def test_bad_hosts_are_told(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        Settings(gateway_hosts=(text,))
    assert str(caught.value).startswith(repr(text))


@given(st.integers(1 << 24, (1 << 32) - 1).map(IPv4Address), st.integers(1, 65535))
def test_addresses_are_loopback_or_read(address: IPv4Address, port: int) -> None:
    if address.is_loopback:
        with pytest.raises(ValueError, match="loopback"):
            parse_destination(f"{address}:{port}", 443)
    else:
        assert parse_destination(f"{address}:{port}", 443) == (str(address), port)
