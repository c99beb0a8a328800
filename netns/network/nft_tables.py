"""Tables of nf_tables, with sets, a chain and rules, made all at once or not at all, by hand.

Whoever makes one must have been told by the kernel that each part of it is there.
"""

import contextlib
import socket
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from netns.network import netlink
from netns.network.expressions import Expression
from netns.network.netlink import ACK, CREATE, NESTED, NFTABLES, attribute, message

_NEW_TABLE: Final = NFTABLES << 8 | 0  # NFT_MSG_NEWTABLE
_DELETE_TABLE: Final = NFTABLES << 8 | 2
_NEW_CHAIN: Final = NFTABLES << 8 | 3
_NEW_RULE: Final = NFTABLES << 8 | 6
_NEW_SET: Final = NFTABLES << 8 | 9
_APPEND: Final = 0x800
"""NLM_F_APPEND."""

SET_INTERVAL: Final = 4
SET_TIMEOUT: Final = 0x10
SET_EVAL: Final = 0x20
"""NFT_SET_*, flags of a set."""


class NftSet(NamedTuple):
    """A set, empty at first."""

    name: str
    key_length: int
    """Bytes."""
    flags: int = 0
    timeout: int = 0
    """Milliseconds after which an element goes; 0 for never."""


class Chain(NamedTuple):
    """A base chain, which has the name of its hook."""

    hook: str
    number: int
    """NF_INET_PRE_ROUTING or another."""
    kind: str
    """`filter` or `nat`."""
    priority: int


def make(
    family: int,
    table: str,
    chain: Chain,
    sets: Sequence[NftSet],
    rules: Sequence[Sequence[Expression]],
) -> None:
    """Make a table of the calling process's network namespace; raises OSError.

    Without the kernel's word for each part, as where a filter feigns the call, it raises too.
    """
    head = netlink.nfgenmsg(family)
    name, hook = _text(1, table), chain.hook
    parts = [message(_NEW_TABLE, CREATE | ACK, head + name)]
    for number, each in enumerate(sets, 1):
        parts.append(message(_NEW_SET, CREATE | ACK, head + name + _set(each, number)))
    parts.append(message(_NEW_CHAIN, CREATE | ACK, head + name + _chain(chain)))
    for rule in rules:
        listed = b"".join(attribute(1 | NESTED, each) for each in rule)  # NFTA_LIST_ELEM
        body = head + name + _text(2, hook) + attribute(4 | NESTED, listed)
        parts.append(message(_NEW_RULE, CREATE | ACK | _APPEND, body))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETFILTER) as sock:
        made = netlink.ask(sock, netlink.nftables_batch(b"".join(parts)))
    if made != len(parts):
        raise OSError(f"the kernel made {made} of {len(parts)} parts of an nf_tables table")


def remove(family: int, table: str) -> None:
    """Remove a table of the calling process's network namespace, if it is there; raises OSError."""
    body = netlink.nfgenmsg(family) + _text(1, table)
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETFILTER)
    with sock, contextlib.suppress(FileNotFoundError):
        netlink.ask(sock, netlink.nftables_batch(message(_DELETE_TABLE, ACK, body)))


def _set(made: NftSet, number: int) -> bytes:
    """Write NFTA_SET_* behind the table's name."""
    written = _text(2, made.name) + _number(3, made.flags) + _number(4, 0)
    written += _number(5, made.key_length) + _number(10, number)
    return written + (attribute(11, struct.pack("!Q", made.timeout)) if made.timeout else b"")


def _chain(chain: Chain) -> bytes:
    """Write NFTA_CHAIN_* behind the table's name."""
    hook = _number(1, chain.number) + attribute(2, struct.pack("!i", chain.priority))
    return _text(3, chain.hook) + attribute(4 | NESTED, hook) + _text(7, chain.kind)


def _text(kind: int, text: str) -> bytes:
    return attribute(kind, text.encode() + b"\0")


def _number(kind: int, number: int) -> bytes:
    return attribute(kind, struct.pack("!I", number))
