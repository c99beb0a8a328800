"""The standard small internet: a client behind a NAT, and a server with two name servers.

    client                router (NAT)                    server
    10.1.0.2       --     10.1.0.1   203.0.113.1    --    203.0.113.10 .11 .12
    2001:db8:1::2         2001:db8:1::1  2001:db8:2::1    2001:db8:2::10
                                                          203.0.113.53 .54 (names)

198.51.100.0/24 is routed to the server, which swallows it: a black hole. 192.0.2.0/24 has no
route. The zone knows `server.test` (.10 and ::10), `two.test` (.11, .12), `v4.test` (.10) and
`v6.test` (::10). Nothing serves on it yet but, inside `serving_names`, names.
"""

import tempfile
from contextlib import ExitStack, closing
from functools import cached_property
from pathlib import Path
from typing import Final, Self

import trio

from .faults import drop
from .hosts import Host
from .links import Link
from .nat import Nat
from .patterns import Packets
from .servers.nameserver import serve_names
from .servers.tls import Authority
from .servers.zone import Zone
from .witness import Witness

CLIENT: Final = "10.1.0.2"
CLIENT_V6: Final = "2001:db8:1::2"
GATEWAY: Final = "10.1.0.1"
GATEWAY_V6: Final = "2001:db8:1::1"
SERVER: Final = "203.0.113.10"
SECOND: Final = "203.0.113.11"
THIRD: Final = "203.0.113.12"
SERVER_V6: Final = "2001:db8:2::10"
NAMES: Final = "203.0.113.53"
OTHER_NAMES: Final = "203.0.113.54"
BLACK_HOLE: Final = "198.51.100.0/24"

_ROUTER_OUTSIDE: Final = "203.0.113.1"
_ROUTER_OUTSIDE_V6: Final = "2001:db8:2::1"


class Internet:
    """Hosts, links, NAT and zone; a with statement ends them all, programs included."""

    def __init__(self) -> None:
        with ExitStack() as undo:
            self.directory = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="net-")))
            self.client = undo.enter_context(closing(Host("client")))
            self.router = undo.enter_context(closing(Host("router")))
            self.server = undo.enter_context(closing(Host("server")))
            self.access = Link((self.client, "eth0"), (self.router, "lan"))
            self.backbone = Link((self.router, "wan"), (self.server, "eth0"))
            self._number()
            self.nat = Nat(self.router, "wan")
            drop(self.server, Packets(destination=BLACK_HOLE))
            self.zone = _zone()
            self.zone_of_other = _zone()
            self.client.use_resolvers(NAMES)
            self.witness: Witness | None = None
            """Counts what leaves the client though it is denied, if watch() runs."""
            self._undo = undo.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        """Kill the programs, forget the hosts."""
        self._undo.close()

    @cached_property
    def authority(self) -> Authority:
        """The certificate authority, made when first asked for."""
        return Authority(self.directory)

    async def serve_names(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve `zone` at .53 and `zone_of_other` at .54, for `nursery.start`."""
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_names, self.server, NAMES, self.zone)
            await nursery.start(serve_names, self.server, OTHER_NAMES, self.zone_of_other)
            task_status.started()

    async def watch(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Have a witness at the client's link, for `nursery.start`."""
        self.witness = Witness(self.access.left, (self.zone, self.zone_of_other))
        task_status.started()
        await self.witness.watch()

    def renumber_client(self, address: str) -> None:
        """Give the client another IPv4 address, such as 10.1.0.3, as a new lease does."""
        interface = self.access.left
        old = next(text for text in interface.addresses if ":" not in text)
        interface.renumber(old, f"{address}/24")

    def _number(self) -> None:
        """Give out addresses and routes."""
        self.access.left.add_address(f"{CLIENT}/24", f"{CLIENT_V6}/64")
        self.access.left.add_route("default", GATEWAY)
        self.access.left.add_route("default", GATEWAY_V6)
        self.access.right.add_address(f"{GATEWAY}/24", f"{GATEWAY_V6}/64")
        self.backbone.left.add_address(f"{_ROUTER_OUTSIDE}/24", f"{_ROUTER_OUTSIDE_V6}/64")
        self.backbone.left.add_route(BLACK_HOLE, SERVER)
        for address in (SERVER, SECOND, THIRD, NAMES, OTHER_NAMES):
            self.backbone.right.add_address(f"{address}/24")
        self.backbone.right.add_address(f"{SERVER_V6}/64")
        self.backbone.right.add_route("2001:db8:1::/64", _ROUTER_OUTSIDE_V6)


def _zone() -> Zone:
    zone = Zone()
    zone.add("server.test", "A", SERVER)
    zone.add("server.test", "AAAA", SERVER_V6)
    zone.add("two.test", "A", SECOND, THIRD)
    zone.add("v4.test", "A", SERVER)
    zone.add("v6.test", "AAAA", SERVER_V6)
    return zone
