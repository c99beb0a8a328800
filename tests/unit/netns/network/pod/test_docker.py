"""Where Docker's name server asks from inside a container's network."""

import pytest

from netns.network.pod import docker


@pytest.mark.parametrize(
    ("lines", "asked"),
    [
        (["nameserver 127.0.0.11", "options ndots:0"], ["0.0.0.0/0", "::/0"]),
        (
            ["nameserver 127.0.0.11", "# ExtServers: [8.8.8.8 fd00::1]"],
            ["8.8.8.8/32", "fd00::1/128"],
        ),
        (["nameserver 127.0.0.11", "# ExtServers: [host(127.0.0.53) 1.1.1.1]"], ["1.1.1.1/32"]),
        (["nameserver 127.0.0.11", "# ExtServers: [host(127.0.0.53)]"], []),
        (["nameserver 127.0.0.11", "# ExtServers: [fe80::1%eth0 ?]"], ["0.0.0.0/0", "::/0"]),
        (["nameserver 10.96.0.10", "# ExtServers: [8.8.8.8]"], []),
        (["# nameserver 127.0.0.11"], []),
        ([], []),
    ],
)
def test_it_asks_what_resolv_conf_says(lines: list[str], asked: list[str]) -> None:
    assert [str(network) for network in docker.asks("\n".join(lines))] == asked
