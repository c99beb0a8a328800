"""A link is a cable between two hosts, a veth pair; each end is an interface with addresses.

`link.unplug()` takes the cable away: both ends keep addresses and routes but have no carrier.
`interface.down()` is what an administrator does: the kernel forgets the routes, `up()` brings
them back.
"""

import errno
import ipaddress
from dataclasses import dataclass
from typing import Any, Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from .hosts import Host

# An address is usable at once, without duplicate address detection, RFC 4862.
_IFA_F_NODAD: Final = 0x02


@dataclass(frozen=True)
class Route:
    """A way out of an interface; `destination` may be "default"."""

    destination: str
    gateway: str


class Interface:
    """One end of a link."""

    def __init__(self, host: Host, name: str) -> None:
        self.host = host
        self.name = name
        self.addresses: list[str] = []
        self._routes: list[Route] = []
        with host.netlink() as netlink:
            self.index: int = netlink.link_lookup(ifname=name)[0]

    def mac(self) -> str:
        """Return the hardware address."""
        with self.host.netlink() as netlink:
            address: str = netlink.link("get", index=self.index)[0].get_attr("IFLA_ADDRESS")
        return address

    def up(self) -> None:
        """Switch it on and bring its routes back."""
        with self.host.netlink() as netlink:
            netlink.link("set", index=self.index, state="up")
            for route in self._routes:
                self._add_route(netlink, route)

    def down(self) -> None:
        """Switch it off; the kernel forgets its routes, and the other end loses its carrier."""
        with self.host.netlink() as netlink:
            netlink.link("set", index=self.index, state="down")

    def set_mtu(self, mtu: int) -> None:
        """Set the largest packet this end sends."""
        with self.host.netlink() as netlink:
            netlink.link("set", index=self.index, mtu=mtu)

    def add_address(self, *addresses: str) -> None:
        """Add addresses, written with their prefix length: 192.0.2.1/24 or 2001:db8::1/64."""
        with self.host.netlink() as netlink:
            for address in addresses:
                netlink.addr("add", index=self.index, **_address(address))
                self.addresses.append(address)

    def remove_address(self, address: str) -> None:
        """Take an address away; flows bound to it are dead from then on."""
        with self.host.netlink() as netlink:
            netlink.addr("del", index=self.index, **_address(address))
        self.addresses.remove(address)

    def renumber(self, old: str, new: str) -> None:
        """Replace an address as a new DHCP lease does; routes lost on the way come back."""
        self.remove_address(old)
        self.add_address(new)
        with self.host.netlink() as netlink:
            for route in self._routes:
                self._add_route(netlink, route)

    def add_route(self, destination: str, gateway: str) -> None:
        """Send what goes to `destination` to `gateway`."""
        route = Route(destination, gateway)
        with self.host.netlink() as netlink:
            self._add_route(netlink, route)
        self._routes.append(route)

    def remove_route(self, destination: str, gateway: str) -> None:
        """Forget a route."""
        route = Route(destination, gateway)
        with self.host.netlink() as netlink:
            netlink.route("del", oif=self.index, **_route(route))
        self._routes.remove(route)

    def _add_route(self, netlink: IPRoute, route: Route) -> None:
        try:
            netlink.route("add", oif=self.index, **_route(route))
        except NetlinkError as error:
            if error.code != errno.EEXIST:  # IPv6 routes survive what IPv4 routes do not
                raise


class Link:
    """A cable between two hosts."""

    def __init__(self, left: tuple[Host, str], right: tuple[Host, str]) -> None:
        """Lay the cable: each end is a host and the name the interface gets there."""
        (left_host, left_name), (right_host, right_name) = left, right
        with left_host.netlink() as netlink, right_host:
            peer = {"ifname": right_name, "net_ns_fd": "/proc/thread-self/ns/net"}
            netlink.link("add", ifname=left_name, kind="veth", peer=peer)
        self.left = Interface(left_host, left_name)
        self.right = Interface(right_host, right_name)
        self.plug()

    def other(self, end: Interface) -> Interface:
        """Return the end opposite to `end`."""
        return self.right if end is self.left else self.left

    def unplug(self) -> None:
        """Take the cable away: no carrier at the left end, its addresses and routes stay."""
        self.right.down()

    def plug(self) -> None:
        """Put the cable back."""
        self.left.up()
        self.right.up()


def _address(text: str) -> dict[str, Any]:
    interface = ipaddress.ip_interface(text)
    fields: dict[str, Any] = {
        "address": str(interface.ip),
        "prefixlen": interface.network.prefixlen,
    }
    if interface.version == 6:
        fields["flags"] = _IFA_F_NODAD
    return fields


def _route(route: Route) -> dict[str, Any]:
    version = ipaddress.ip_address(route.gateway).version
    destination = route.destination
    if destination == "default":
        destination = "0.0.0.0/0" if version == 4 else "::/0"
    return {"dst": destination, "gateway": route.gateway}
