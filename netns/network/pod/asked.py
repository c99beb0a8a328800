"""What the init step is asked for, as one value; pure."""

from ipaddress import IPv4Network, IPv6Network
from typing import NamedTuple

from netns.network.pod import RELAY_UID
from netns.plan import OWN_ADDRESS


class Asked(NamedTuple):
    """Whose connections come to the relay, and what is left as it is without rules."""

    relay_uid: int = RELAY_UID
    own_address: str = OWN_ADDRESS
    """The source of connections that come to the relay."""
    uids: tuple[int, ...] = ()
    """Users that are left alone like the relay's."""
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Destinations that are left alone."""
    ports: tuple[tuple[int, int], ...] = ()
    """Ports of TCP and UDP that are left alone as destinations, each range by first and last."""

    forwarders: tuple[IPv4Network | IPv6Network, ...] = ()
    """Where root's questions are left alone, docker.py has why."""

    def left_alone(self) -> tuple[int, ...]:
        """Return all users whose packets no rule judges."""
        return tuple(sorted({self.relay_uid, *self.uids}))
