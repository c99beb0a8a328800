"""Packets that are not the relay's."""

from typing import Final

from tests.escape import witnesses
from tests.escape.row import Row, everywhere
from tests.escape.stages.files import link

_NO_ROUTE: Final = "there is no route for IPv6 but to `::1`"
_NO_UDP: Final = "every address is the namespace's own, where nobody listens"
_NOT_ROOT: Final = "no capability over the network is left; nobody maps another"
_NESTED: Final = "a nested namespace has power over itself alone"
_NEEDS_ROOT: Final = "a user has no such right without keepline"

ROWS: Final = [
    Row(
        way="TCP over IPv6",
        program="packets.tcp_v6",
        witness=witnesses.on_wire,
        at=everywhere(_NO_ROUTE),
    ),
    Row(
        way="UDP over IPv6, to a host and to all nodes of a link",
        program="packets.udp_v6",
        witness=witnesses.on_wire,
        at=everywhere(_NO_ROUTE),
    ),
    Row(
        way="UDP over IPv4, connected or not",
        program="packets.udp",
        witness=witnesses.on_wire,
        at=everywhere(_NO_UDP),
    ),
    Row(
        way="multicast and broadcast, on each interface",
        program="packets.many",
        witness=witnesses.on_wire,
        at=everywhere(_NO_UDP),
    ),
    Row(
        way="ICMP echo, by a socket of ping's and by a raw one",
        program="packets.icmp",
        witness=witnesses.on_wire,
        at=everywhere(_NOT_ROOT),
        control=("root",),
        no_control=_NEEDS_ROOT,
    ),
    Row(
        way="a raw socket, with a header of its own",
        program="packets.raw",
        witness=witnesses.on_wire,
        at=everywhere(_NOT_ROOT),
        control=("root",),
        no_control=_NEEDS_ROOT,
    ),
    Row(
        way="frames by AF_PACKET, on each interface",
        program="packets.frames",
        witness=witnesses.on_wire,
        at=everywhere(_NOT_ROOT),
        control=("root",),
        no_control=_NEEDS_ROOT,
    ),
    Row(
        way="raw packets and frames, as root of nested namespaces",
        program="packets.frames_when_nested",
        witness=witnesses.on_wire,
        at=everywhere(_NESTED),
        control=(),
        no_control="the host's network is no nested namespace's either",
    ),
    Row(
        way="a source route in IP's options",
        program="dialling.source_route",
        witness=witnesses.with_options,
        at=everywhere("the relay dials by itself: no option of the program's is in its packets"),
        control=("root",),
        no_control=_NEEDS_ROOT,
    ),
    Row(
        way="data with the SYN, TCP Fast Open",
        program="dialling.fast_open",
        witness=witnesses.on_wire,
        at=everywhere("the SYN ends at the relay, which judges it"),
    ),
    Row(
        way="multipath TCP",
        program="dialling.multipath",
        witness=witnesses.on_wire,
        at=everywhere("the SYN ends at the relay, which judges it"),
        may_lack="a kernel with MPTCP",
    ),
    Row(
        way="other source addresses, and each interface by SO_BINDTODEVICE",
        program="dialling.bound",
        witness=witnesses.on_wire,
        at=everywhere("both ends of each interface are in the namespace"),
    ),
    Row(
        way="the relay's own mark, SO_MARK",
        program="dialling.marked",
        witness=witnesses.on_wire,
        at=everywhere(_NOT_ROOT),
        control=("root",),
        no_control=_NEEDS_ROOT,
    ),
    Row(
        way="taking away rules, routes and addresses",
        program="packets.without_rules",
        witness=witnesses.on_wire,
        at=everywhere(_NOT_ROOT),
    ),
    Row(
        way="the same, as root of a nested user namespace",
        program="packets.without_rules_when_nested",
        witness=witnesses.on_wire,
        at=everywhere(_NESTED),
    ),
    Row(
        way="a new device, whose other end is given to the host",
        program="packets.device",
        witness=witnesses.has_link,
        at=everywhere(_NOT_ROOT),
        stage=link,
        control=("root",),
        no_control=_NEEDS_ROOT,
    ),
    Row(
        way="the same, from a nested network namespace",
        program="packets.device_when_nested",
        witness=witnesses.has_link,
        at=everywhere(_NESTED),
        stage=link,
        control=(),
        no_control="the host's network takes no device from a nested namespace either",
    ),
]
