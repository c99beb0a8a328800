"""The ways in of a namespace that keepline has made, in which the command runs."""

from collections.abc import Sequence
from functools import partial

from netns.errors import KeeplineError
from netns.handoff import Listeners
from netns.plan import WAYS, Intercept
from relay.barrier import Record
from relay.config import Settings
from relay.descriptors import LIMIT
from relay.inbound.held.holder import MOST_HELD, PART, SynHolder
from relay.inbound.listener import Listener
from relay.inbound.offer import Inbound
from relay.inbound.socket_table import SocketTable
from relay.outbound.host_loopback import HostLoopback
from relay.tcp.loopback import LoopbackRefusals
from relay.ways_in import WaysIn


def ways_in(listeners: Listeners) -> WaysIn:
    """Return the ways in by the sockets of a namespace."""
    return WaysIn(
        partial(_make, listeners),
        dns=((listeners.dns_udp, listeners.dns_tcp),),
        diag=listeners.diag,
        host_addresses=listeners.host_addresses,
        open_host_ports=listeners.open_host_ports,
        own=tuple(listeners.listening()),
        read_only=listeners.read_only,
    )


def ways(settings: Settings) -> Sequence[Intercept]:
    """Return how connections may be caught; raises KeeplineError where none are to be.

    Here the namespace has been begun, as it is before the settings are read.
    """
    match settings.intercept:
        case "auto":
            return WAYS
        case "proxy":
            raise KeeplineError(
                "intercept = proxy was read too late: a namespace was begun",
                "keepline run --intercept=proxy -- COMMAND, or KEEPLINE_INTERCEPT=proxy",
            )
        case way:
            return (way,)


def _make(
    listeners: Listeners, programs: SocketTable | None, record: Record, loopback: HostLoopback
) -> list[Inbound]:
    """Return what offers connections: each listener, the first one behind held SYNs if possible."""
    first, *others = (Listener(sock, listeners.intercept, record) for sock in listeners.tcp)
    syns = listeners.syns
    if syns is None or programs is None:
        return [first, *others]
    holder = SynHolder(syns, first, programs, record, LIMIT.share(PART, MOST_HELD))
    refusals = LoopbackRefusals(record, loopback)
    holder.take_other, holder.refuses = refusals.note, refusals.refuses
    return [holder, *others]
