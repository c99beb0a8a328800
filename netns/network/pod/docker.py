"""Docker's own name server, which stands at 127.0.0.11 in each network that a user has made; pure.

The engine answers there, and asks name servers outside by sockets that it makes as root in the
container's network namespace. Led to the relay, which asks 127.0.0.11 itself, a question would
come back to it without end. Nothing tells those sockets from those of other programs of root.
"""

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

_NAME_SERVER: Final = ["nameserver", "127.0.0.11"]
_EXTERNAL: Final = "# ExtServers: ["
_FROM_OUTSIDE: Final = "host("
_ANYWHERE: Final = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))


def asks(resolv_conf: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return where the engine sends questions from inside, as /etc/resolv.conf has it.

    Docker 25 and later name the servers in a comment, those that are asked from the host's
    namespace as host(ADDRESS); earlier ones do not say.
    """
    lines = resolv_conf.splitlines()
    if not any(line.split()[:2] == _NAME_SERVER for line in lines):
        return ()
    for line in lines:
        if line.startswith(_EXTERNAL):
            named = line.removeprefix(_EXTERNAL).rstrip("]").split()
            try:
                return tuple(
                    ip_network(each) for each in named if not each.startswith(_FROM_OUTSIDE)
                )
            except ValueError:
                break  # something newer: as if it said nothing
    return _ANYWHERE
