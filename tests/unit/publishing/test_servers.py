"""Where a port is dialled, whatever its sockets are bound to."""

import pytest

from relay.publishing.listening import Listening
from relay.publishing.servers import Server, by_port


@pytest.mark.parametrize(
    ("addresses", "ipv4", "ipv6"),
    [
        (["127.0.0.1"], "127.0.0.1", "127.0.0.1"),
        (["0.0.0.0"], "127.0.0.1", "127.0.0.1"),
        (["127.0.0.5"], "127.0.0.5", "127.0.0.5"),
        (["10.0.0.1"], "10.0.0.1", "10.0.0.1"),
        (["10.0.0.1", "127.0.0.1"], "127.0.0.1", "127.0.0.1"),
        (["127.0.0.1", "10.0.0.1"], "127.0.0.1", "127.0.0.1"),
        (["::1"], "::1", "::1"),
        (["::"], "127.0.0.1", "::1"),
        (["127.0.0.1", "::1"], "127.0.0.1", "::1"),
        (["::", "0.0.0.0"], "127.0.0.1", "::1"),
        (["10.0.0.1", "::"], "10.0.0.1", "::1"),
    ],
)
def test_the_family_of_the_client_comes_first(addresses: list[str], ipv4: str, ipv6: str) -> None:
    servers = by_port(Listening(address, 80) for address in addresses)
    assert list(servers) == [80]
    assert servers[80].at(ipv6=False) == ipv4
    assert servers[80].at(ipv6=True) == ipv6


def test_ipv6_alone_is_dialled_for_both() -> None:
    assert by_port([Listening("::", 80, takes_ipv6_alone=True)]) == {80: Server("", "::1")}


def test_ports_are_apart() -> None:
    found = by_port([Listening("127.0.0.1", 80), Listening("::1", 81)])
    assert found == {80: Server("127.0.0.1"), 81: Server("", "::1")}
    assert Server().at(ipv6=True) == ""
