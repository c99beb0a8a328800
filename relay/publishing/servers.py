"""Where the server of a port inside is dialled, out of all that listen; pure."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from relay.addresses import is_ipv4
from relay.publishing.listening import Listening

_ANY_IPV4: Final = "0.0.0.0"  # noqa: S104 - compared, not bound
_ANY_IPV6: Final = "::"
_LOOPBACK_IPV4: Final = "127.0.0.1"
_LOOPBACK_IPV6: Final = "::1"


class Server(NamedTuple):
    """The addresses at which a port is served."""

    ipv4: str = ""
    """Empty if none."""
    ipv6: str = ""

    def at(self, *, ipv6: bool) -> str:
        """Return the address to dial for a client of this family, its own family if possible."""
        return (self.ipv6 or self.ipv4) if ipv6 else (self.ipv4 or self.ipv6)


def by_port(listening: Iterable[Listening]) -> dict[int, Server]:
    """Return the servers of all ports; a socket at all addresses is dialled at loopback.

    One at all IPv6 addresses mostly takes IPv4 too.
    """
    found: dict[int, Server] = {}
    for address, port, takes_ipv6_alone in listening:
        ipv4, ipv6 = known = found.get(port, Server())
        if address == _ANY_IPV6:
            known = Server(ipv4 or ("" if takes_ipv6_alone else _LOOPBACK_IPV4), _LOOPBACK_IPV6)
        elif not is_ipv4(address):
            known = Server(ipv4, ipv6 or address)
        elif address in (_ANY_IPV4, _LOOPBACK_IPV4) or not ipv4:
            known = Server(_LOOPBACK_IPV4 if address == _ANY_IPV4 else address, ipv6)
        found[port] = known
    return found
