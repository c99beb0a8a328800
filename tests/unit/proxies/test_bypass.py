"""NO_PROXY as curl reads it: rows of its own tests (tests/unit/unit1614.c), and what others add."""

import pytest

from relay.addresses import Destination
from relay.proxies.bypass import Bypass


@pytest.mark.parametrize(
    ("text", "host", "covered"),
    [
        ("192.168.0.1", "192.168.0.1", True),
        ("192.168.0.1/32", "192.168.0.1", True),
        ("192.168.0.1/28", "192.168.0.1", True),
        ("192.168.1.1", "192.168.0.1", False),
        ("foo, bar, 192.168.0.0/24", "192.168.0.1", True),
        ("192.168.0.0/16", "192.168.16.1", True),
        ("192.168.0.0/24", "192.168.1.1", False),
        ("192.168.0.0/33", "192.168.0.1", False),
        ("192.168.0.0/-1", "192.168.0.1", False),
        ("0.0.0.0/0", "192.168.0.1", True),
        ("192.168.0", "192.168.0.1", False),
        ("www.example.com", "www.example.com", True),
        ("www.example.com.", "www.example.com", True),
        ("example.com", "www.example.com", True),
        (".example.com", "www.example.com", True),
        (".example.com", "example.com", True),
        ("*.example.com", "www.example.com", True),
        ("EXAMPLE.com", "www.example.com", True),
        ("example.com", "nonexample.com", False),
        ("www.example.com", "example.com", False),
        ("foo,bar,*", "anything", True),
        ("*", "192.0.2.1", True),
        ("foo bar\tbaz", "bar", True),
        ("", "example.com", False),
        (" , ,", "example.com", False),
        (".", "example.com", False),
        ("com/24", "example.com", False),
        ("::1,[::1]:80,fe80::/10", "example.com", False),
        ("", "127.0.0.1", True),
        ("", "127.3.2.1", True),
        ("", "localhost", True),
        ("", "api.localhost", True),
        ("10.0.0.0/8", "name-of-10-0-0-1.test", False),
    ],
)
def test_a_host_is_covered(text: str, host: str, covered: bool) -> None:
    bypass = Bypass.parse(text)
    assert bypass.covers(Destination(host, 443)) is covered
    assert bypass.covers_all_of(host) is covered


def test_a_port_is_of_one_entry() -> None:
    bypass = Bypass.parse("example.com:8080,10.0.0.0:22,bad:port")
    assert bypass.covers(Destination("example.com", 8080))
    assert not bypass.covers(Destination("example.com", 443))
    assert not bypass.covers_all_of("example.com")
    assert bypass.covers(Destination("10.0.0.0", 22))
    assert not bypass.covers(Destination("10.0.0.0", 23))
