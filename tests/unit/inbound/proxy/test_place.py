"""Hosts and ports as programs write them to a proxy: one meaning each, or an error with words."""

import socket
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.addresses import is_ipv4
from relay.inbound.proxy.place import (
    NoIPv6Error,
    PlaceError,
    checked_port,
    of_ipv6,
    parse,
    parse_host,
)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("www.example.com:443", ("www.example.com", 443)),
        ("WWW.Example.COM.:443", ("www.example.com", 443)),
        ("under_score.example:1", ("under_score.example", 1)),
        ("xn--bcher-kva.example:65535", ("xn--bcher-kva.example", 65535)),
        ("192.0.2.1:80", ("192.0.2.1", 80)),
        ("3221225985:80", ("192.0.2.1", 80)),
        ("0x7f.1:80", ("127.0.0.1", 80)),
        ("127.1:80", ("127.0.0.1", 80)),
        ("0:80", ("0.0.0.0", 80)),
        ("localhost:80", ("127.0.0.1", 80)),
        ("LocalHost.:80", ("127.0.0.1", 80)),
        ("a.localhost:80", ("127.0.0.1", 80)),
        ("notlocalhost:80", ("notlocalhost", 80)),
        ("[::1]:80", ("::1", 80)),
        ("[::]:80", ("127.0.0.1", 80)),
        ("[::ffff:192.0.2.1]:80", ("192.0.2.1", 80)),
        ("[::ffff:7f00:1]:80", ("127.0.0.1", 80)),
        ("host:080", ("host", 80)),
    ],
)
def test_places(text: str, place: tuple[str, int]) -> None:
    assert parse(text) == place


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("www.example.com", "no port"),
        ("www.example.com:", "no port"),
        ("[::1]", "no port"),
        ("www.example.com:0", "its port"),
        ("www.example.com:65536", "its port"),
        ("www.example.com:+1", "its port"),
        ("www.example.com:1e1", "its port"),
        ("www.example.com:000443", "its port"),
        (":443", "no name"),
        (".:443", "no name"),
        ("a..b:443", "no name"),
        ("-a.example:443", "no name"),
        ("a-.example:443", "no name"),
        ("a%2eb:443", "no name"),
        ("a b:443", "no name"),
        ("a/b:443", "no name"),
        (r"a\.b:443", "no name"),
        ("*.example.com:443", "no name"),
        ("a" * 64 + ".example:443", "no name"),
        (".".join(["a" * 63] * 4) + ":443", "no name"),
        ("bücher.example:443", "not in ASCII"),
        ("user@host:443", "has a user"),
        ("user:password@host:443", "has a user"),
        ("256.1.1.1:443", "looks like an IPv4 address"),
        ("1.2.3.4.5:443", "looks like an IPv4 address"),
        ("0x7g.0x1:443", "looks like an IPv4 address"),
        ("1.08:443", "looks like an IPv4 address"),
        ("::1:443", "stands in brackets"),
        ("[::1:443", "its brackets"),
        ("[::1]443", "its brackets"),
        ("[]:443", "no IPv6 address"),
        ("[127.0.0.1]:443", "no IPv6 address"),
        ("[::g]:443", "no IPv6 address"),
        ("[fe80::1%eth0]:443", "has a zone"),
        ("[2001:db8::1]:443", "sends no IPv6"),
    ],
)
def test_what_is_no_place(text: str, words: str) -> None:
    with pytest.raises(PlaceError, match=words):
        parse(text)


def test_a_default_port_stands_for_none_and_for_an_empty_one() -> None:
    assert parse("a", 80) == parse("a:", 80) == ("a", 80)
    assert parse("[::1]", 80) == ("::1", 80)
    with pytest.raises(PlaceError):
        parse("a:0", 80)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_ports_that_nobody_can_dial(port: int) -> None:
    with pytest.raises(PlaceError):
        checked_port(port)
    assert checked_port(65535) == 65535


@given(st.ip_addresses(v=6))
def test_an_address_of_ipv6_is_loopback_or_ipv4_or_not_dialled(address: IPv6Address) -> None:
    try:
        host = of_ipv6(address.packed)
    except NoIPv6Error:
        assert address.ipv4_mapped is None
    else:
        assert host == "::1" or is_ipv4(host)


@given(st.ip_addresses(v=4))
def test_what_a_c_library_reads_as_an_address_is_one(address: IPv4Address) -> None:
    for text in (str(address), str(int(address)), hex(int(address))):
        assert parse_host(text) == str(address)
        assert socket.inet_aton(text) == address.packed


@given(st.text(max_size=300))
def test_any_text_is_a_host_or_an_error(text: str) -> None:
    try:
        host = parse_host(text)
    except PlaceError:
        return
    assert host.isascii()
    assert host == host.lower()
    assert " " not in host
    assert parse_host(host) == host


@given(st.text(max_size=80))
def test_any_authority_is_a_place_or_an_error(text: str) -> None:
    try:
        _host, port = parse(text)
    except PlaceError:
        return
    assert 1 <= port <= 65535
