"""Makes, compares and takes away the rules of a pod in the calling process's network namespace.

What is there is read from the kernel each time, and compared line by line with what is asked for.
The order keeps programs from getting past: routes and rules of routing are added first, by which
connections stay on lo, where nobody answers yet; then nf_tables changes in one batch, all or
nothing; what is left over of other rules goes last. Whatever fails until then is undone.

Whoever asks for this needs NET_ADMIN over the namespace.
"""

import contextlib
import errno
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from netns.network import netlink, nft_tables, nlmsg
from netns.network.pod import reading, routing, tables
from netns.network.pod.asked import Asked
from netns.network.pod.refusal import RulesError, refused

_ROUTE: Final = 0  # NETLINK_ROUTE
_OF_THE_MACHINE: Final = Path("/proc/sys/net/core/netdev_max_backlog")
"""Every network namespace but the first has no such setting."""


class State(NamedTuple):
    """What is there and what should be."""

    standing: Sequence[str]
    missing: Sequence[str]
    stale: Sequence[str]

    @property
    def stands(self) -> bool:
        """Return whether all of it is as it should be."""
        return not self.missing and not self.stale


def is_machines_own() -> bool:
    """Return whether this is the network namespace that the machine has started with."""
    return _OF_THE_MACHINE.exists()


def compare(asked: Asked) -> State:
    """Return what stands, and what differs; raises RulesError."""
    with _sockets() as (route, nft):
        return _compare(asked, route, nft)


def install(asked: Asked) -> State:
    """Make what is missing, take away what is left over; return what was there before.

    Raises RulesError, and then all is as it was, but for what is left over if that cannot be taken
    away.
    """
    with _sockets() as (route, nft):
        before = _compare(asked, route, nft)
        standing = routing.standing(route)
        wanted = routing.wanted(asked)
        with contextlib.ExitStack() as undone:
            for part in wanted:
                if part not in standing and not _is_there(route, part):
                    _change(route, part)
                    undone.callback(_change, route, part, deleted=True)
            _replace(asked, nft, before)
            undone.pop_all()
        for part in standing[::-1]:
            if part not in wanted:
                _change(route, part, deleted=True)
        return before


def standing() -> Sequence[str]:
    """Return what is there, whatever was asked for; raises RulesError."""
    with _sockets() as (route, nft):
        return [*reading.standing(nft), *map(str, routing.standing(route))]


def remove() -> Sequence[str]:
    """Take away all of it; return what was there. Raises RulesError."""
    with _sockets() as (route, nft):
        standing = routing.standing(route)
        gone = [*reading.standing(nft), *map(str, standing)]
        rules = [part for part in standing if isinstance(part, routing.Rule)]
        for rule in rules[::-1]:
            _change(route, rule, deleted=True)
        for family in reading.families(nft):
            _batch(nft, [nft_tables.delete_table(family, tables.TABLE)], ["the table"])
        for part in standing[::-1]:
            if part not in rules:
                _change(route, part, deleted=True)
        return gone


def _compare(asked: Asked, route: socket.socket, nft: socket.socket) -> State:
    """Compare by lines; an address that somebody else gave the namespace is not missing.

    Of nf_tables the order counts too; of routing it is in the lines.
    """
    of_nft, of_routing = reading.standing(nft), routing.standing(route)
    nft_wanted = [line for table in _wanted(asked) for line in reading.expected(table)]
    routing_wanted = [
        str(part) for part in routing.wanted(asked) if not _is_foreign(route, part, of_routing)
    ]
    standing, wanted = [*of_nft, *map(str, of_routing)], [*nft_wanted, *routing_wanted]
    missing = [line for line in wanted if line not in standing]
    stale = [line for line in standing if line not in wanted]
    if not missing and not stale and of_nft != nft_wanted:
        stale = ["nft: the order of the rules"]
    return State(standing, missing, stale)


def _is_foreign(route: socket.socket, part: routing.Part, standing: Sequence[routing.Part]) -> bool:
    return part not in standing and _is_there(route, part)


def _is_there(route: socket.socket, part: routing.Part) -> bool:
    """Return whether a part is an address that the namespace has from somebody else."""
    return isinstance(part, routing.Address) and routing.has_address(route, part.address)


def _wanted(asked: Asked) -> list[tables.Table]:
    """Return the tables that this kernel needs: without IPv6 nothing leaves by it."""
    wanted = [tables.ipv4(asked)]
    with contextlib.suppress(OSError):
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close()
        wanted.append(tables.ipv6(asked))
    return wanted


def _replace(asked: Asked, nft: socket.socket, before: State) -> None:
    """Have the tables that are asked for in place of those that stand, in one batch."""
    if not any(line.startswith("nft") for line in (*before.missing, *before.stale)):
        return
    messages, what = [], []
    for family in reading.families(nft):
        messages.append(nft_tables.delete_table(family, tables.TABLE))
        what.append("the table of before")
    for table in _wanted(asked):
        name = reading.FAMILIES[table.family]
        messages.append(nft_tables.new_table(table.family, tables.TABLE))
        what.append(f"a table of family {name}")
        for chain in tables.CHAINS:
            messages.append(nft_tables.new_chain(table.family, tables.TABLE, chain))
            what.append(f"a chain of type {chain.kind}, {name}")
        for rule in table.rules:
            parts = (rule.chain, rule.expressions, rule.comment())
            messages.append(nft_tables.new_rule(table.family, tables.TABLE, *parts))
            what.append(f"the rule {rule.text!r}, {name}")
    _batch(nft, messages, what)


def _batch(nft: socket.socket, messages: Sequence[bytes], what: Sequence[str]) -> None:
    """Have a batch carried out; raises RulesError with what was refused."""
    batch = nlmsg.nftables_batch(nlmsg.numbered(messages))
    try:
        nft.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(batch) * 4)
        answer = netlink.answered(nft, batch)
    except OSError as error:
        raise refused(error.errno or 0, "nf_tables") from error
    if answer.errno:
        which = what[answer.refused - 1] if 0 < answer.refused <= len(what) else "a batch"
        raise refused(answer.errno, f"nf_tables: {which}")
    if not answer.acknowledged:
        raise RulesError(
            "the kernel has not confirmed the nf_tables rules",
            "look for what feigns netlink calls in this container, such as a seccomp filter",
        )


def _change(route: socket.socket, part: routing.Part, *, deleted: bool = False) -> None:
    """Make a part, or take it away; what is gone already is no failure. Raises RulesError."""
    try:
        netlink.ask(route, part.message(deleted=deleted))
    except OSError as error:
        gone = (errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL)
        if not deleted or error.errno not in gone:
            raise refused(error.errno or 0, str(part)) from error


@contextlib.contextmanager
def _sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Open the sockets of routing and of nf_tables; tell what the kernel lacks."""
    with contextlib.ExitStack() as closed:
        opened = []
        for protocol, name in ((_ROUTE, "routing"), (netlink.NETFILTER, "nf_tables")):
            try:
                sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
            except OSError as error:
                raise refused(error.errno or 0, f"netlink, {name}") from error
            opened.append(closed.enter_context(sock))
        try:
            yield opened[0], opened[1]
        except OSError as error:
            raise refused(error.errno or 0, "reading what rules there are") from error
