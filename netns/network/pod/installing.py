"""Makes, compares and takes away the rules of a pod in the calling process's network namespace.

What is there is read from the kernel each time, and compared line by line with what is asked for.
The order keeps programs from getting past: routes and rules of routing are added first, by which
connections come to nobody yet and are refused; then nf_tables changes in one batch, all or
nothing; what is left over of other rules goes last. Whatever fails until then is undone.

Whoever asks for this needs NET_ADMIN over the namespace.
"""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from netns.errors import KeeplineError
from netns.network import netlink, nft_tables
from netns.network.pod import routing, tables
from netns.network.pod.asked import Asked

_GET_TABLE, _GET_CHAIN, _GET_RULE = (netlink.NFTABLES << 8 | kind for kind in (1, 4, 7))
_ROUTE: Final = 0  # NETLINK_ROUTE
_FAMILIES: Final[dict[int, str]] = {socket.AF_INET: "ip", socket.AF_INET6: "ip6"}
_NET_ADMIN: Final = 12
_OF_THE_MACHINE: Final = Path("/proc/sys/net/core/netdev_max_backlog")
"""Every network namespace but the first has no such setting."""

Part = routing.Part | str


class RulesError(KeeplineError):
    """The rules could not be made, or read."""


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

    Raises RulesError, and then all is as it was.
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
        return [*_tables(nft), *map(str, routing.standing(route))]


def remove() -> Sequence[str]:
    """Take away all of it; return what was there. Raises RulesError."""
    with _sockets() as (route, nft):
        standing = routing.standing(route)
        gone = [*_tables(nft), *map(str, standing)]
        rules = [part for part in standing if isinstance(part, routing.Rule)]
        for rule in rules[::-1]:
            _change(route, rule, deleted=True)
        for family in _families(nft):
            _batch(nft, [nft_tables.delete_table(family, tables.TABLE)], ["the table"])
        for part in standing[::-1]:
            if part not in rules:
                _change(route, part, deleted=True)
        return gone


def _compare(asked: Asked, route: socket.socket, nft: socket.socket) -> State:
    """Compare by lines; an address that somebody else gave the namespace is not missing.

    Of nf_tables the order counts too; of routing it is in the lines.
    """
    of_nft, of_routing = _tables(nft), routing.standing(route)
    nft_wanted = [line for table in _wanted(asked) for line in _lines(table)]
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


def _lines(table: tables.Table) -> list[str]:
    """Return the lines of a table as it should be, as _tables() has them of those that stand."""
    family = _FAMILIES[table.family]
    lines = [f"nft table {family} {tables.TABLE}"]
    for chain in tables.CHAINS:
        lines.append(
            f"nft {family} chain {chain.name}: {chain.kind} {chain.number} {chain.priority}"
        )
        of_chain = (rule for rule in table.rules if rule.chain == chain.name)
        lines += [f"nft {family} {rule.chain}: {rule.comment()}" for rule in of_chain]
    return lines


def _families(nft: socket.socket) -> dict[int, int]:
    """Return the families that have our table, each with the table's flags."""
    found = {}
    for body in netlink.dump(nft, _GET_TABLE, netlink.nfgenmsg(socket.AF_UNSPEC)):
        table = netlink.attributes(body[4:])
        if body[0] in _FAMILIES and _text(table, 1) == tables.TABLE:
            found[body[0]] = struct.unpack("!I", table.get(2, bytes(4)))[0]
    return found


def _tables(nft: socket.socket) -> list[str]:
    """Return the lines of the tables that stand."""
    lines = []
    for family, flags in sorted(_families(nft).items()):
        name = _FAMILIES[family]
        lines.append(f"nft table {name} {tables.TABLE}" + " (dormant)" * (flags & 1))
        head = netlink.nfgenmsg(family) + netlink.attribute(1, tables.TABLE.encode() + b"\0")
        rules = [netlink.attributes(body[4:]) for body in netlink.dump(nft, _GET_RULE, head)]
        for body in netlink.dump(nft, _GET_CHAIN, head):
            chain = netlink.attributes(body[4:])
            if _text(chain, 1) != tables.TABLE:
                continue
            lines.append(f"nft {name} {_chain(chain)}")
            lines += [
                f"nft {name} {_text(rule, 2)}: {_comment(rule.get(7, b''))}"
                for rule in rules
                if (_text(rule, 1), _text(rule, 2)) == (tables.TABLE, _text(chain, 3))
            ]
    return lines


def _chain(chain: dict[int, bytes]) -> str:
    """Return what a chain is; one that drops what no rule judges says so."""
    hook = netlink.attributes(chain.get(4, b""))
    number, priority = struct.unpack("!Ii", hook.get(1, bytes(4)) + hook.get(2, bytes(4)))
    drops = " (drop)" if chain.get(5, b"\0\0\0\1") == bytes(4) else ""
    return f"chain {_text(chain, 3)}: {_text(chain, 7)} {number} {priority}{drops}"


def _comment(userdata: bytes) -> str:
    """Return a rule's comment."""
    at = 0
    while at + 2 <= len(userdata):
        kind, length = userdata[at : at + 2]
        if kind == 0:
            return userdata[at + 2 : at + 2 + length].rstrip(b"\0").decode(errors="replace")
        at += 2 + length
    return "a rule of somebody else"


def _text(found: dict[int, bytes], kind: int) -> str:
    return found.get(kind, b"").rstrip(b"\0").decode(errors="replace")


def _replace(asked: Asked, nft: socket.socket, before: State) -> None:
    """Have the tables that are asked for in place of those that stand, in one batch."""
    if not any(line.startswith("nft") for line in (*before.missing, *before.stale)):
        return
    messages, what = [], []
    for family in _families(nft):
        messages.append(nft_tables.delete_table(family, tables.TABLE))
        what.append("the table of before")
    for table in _wanted(asked):
        name = _FAMILIES[table.family]
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
    batch = netlink.nftables_batch(netlink.numbered(messages))
    try:
        nft.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, len(batch) * 4)
        answer = netlink.answered(nft, batch)
    except OSError as error:
        raise _refused(error.errno or 0, "nf_tables") from error
    if answer.errno:
        which = what[answer.refused - 1] if 0 < answer.refused <= len(what) else "a batch"
        raise _refused(answer.errno, f"nf_tables: {which}")
    if answer.acknowledged != len(messages):
        made = f"{answer.acknowledged} of {len(messages)}"
        raise RulesError(
            f"the kernel has confirmed {made} parts of the nf_tables rules alone",
            "look for what feigns netlink calls in this container, such as a seccomp filter",
        )


def _change(route: socket.socket, part: routing.Part, *, deleted: bool = False) -> None:
    """Make a part, or take it away; what is gone already is no failure. Raises RulesError."""
    try:
        netlink.ask(route, part.message(deleted=deleted))
    except OSError as error:
        gone = (errno.ENOENT, errno.ESRCH, errno.EADDRNOTAVAIL)
        if not deleted or error.errno not in gone:
            raise _refused(error.errno or 0, str(part)) from error


@contextlib.contextmanager
def _sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Open the sockets of routing and of nf_tables; tell what the kernel lacks."""
    with contextlib.ExitStack() as closed:
        opened = []
        for protocol, name in ((_ROUTE, "routing"), (netlink.NETFILTER, "nf_tables")):
            try:
                sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
            except OSError as error:
                raise _refused(error.errno or 0, f"netlink, {name}") from error
            opened.append(closed.enter_context(sock))
        try:
            yield opened[0], opened[1]
        except OSError as error:
            raise _refused(error.errno or 0, "reading what rules there are") from error


def _refused(number: int, what: str) -> RulesError:
    """Return the error for what the kernel refused, with what most likely is missing."""
    cause = f"{what}: {os.strerror(number)}"
    if number in (errno.EPERM, errno.EACCES):
        if not _has_net_admin():
            return RulesError(
                f"{cause}; this process has no NET_ADMIN",
                "run the init step as root with that capability: runAsUser: 0 and"
                " capabilities: {drop: [ALL], add: [NET_ADMIN]}, or --user 0 --cap-add NET_ADMIN",
            )
        return RulesError(
            f"{cause}, although this process has NET_ADMIN",
            "start it in the user namespace that the pod's network belongs to, not one below it",
        )
    return RulesError(
        cause,
        "use a kernel with nf_tables and these parts of it, on the node: modprobe -a nft_chain_nat"
        " nft_redir nft_ct nft_fib_ipv4 nft_fib_ipv6 nft_reject_ipv4 nft_reject_ipv6; rules of"
        " routing by user and port need Linux 4.17",
    )


def _has_net_admin() -> bool:
    """Return whether the calling process has NET_ADMIN in its own user namespace."""
    status = Path("/proc/self/status").read_text()
    return bool(int(status.split("CapEff:")[1].split()[0], 16) >> _NET_ADMIN & 1)
