"""Tables of nf_tables, with sets, a chain and rules, made all at once or not at all, by hand.

Whoever makes one must have been told by the kernel that each part of it is there.
"""

import socket
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from netns.network import netlink, nlmsg
from netns.network.expressions import Expression
from netns.network.nlmsg import ACK, APPEND, CREATE, NESTED, NFTABLES, attribute, message

_NEW_TABLE: Final = NFTABLES << 8 | 0  # NFT_MSG_NEWTABLE
_DELETE_TABLE: Final = NFTABLES << 8 | 2
_NEW_CHAIN: Final = NFTABLES << 8 | 3
_NEW_RULE: Final = NFTABLES << 8 | 6
_NEW_SET: Final = NFTABLES << 8 | 9

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
    """A base chain."""

    name: str
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
    head = nlmsg.nfgenmsg(family) + _text(1, table)
    parts = [new_table(family, table)]
    for number, each in enumerate(sets, 1):
        parts.append(message(_NEW_SET, CREATE | ACK, head + _set(each, number)))
    parts.append(new_chain(family, table, chain))
    parts.extend(new_rule(family, table, chain.name, rule) for rule in rules)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink.NETFILTER) as sock:
        made = netlink.ask(sock, nlmsg.nftables_batch(b"".join(parts)))
    if made != len(parts):
        raise OSError(f"the kernel made {made} of {len(parts)} parts of an nf_tables table")


def new_table(family: int, table: str) -> bytes:
    """Write the message that makes a table where there is none."""
    return message(_NEW_TABLE, CREATE | ACK, nlmsg.nfgenmsg(family) + _text(1, table))


def delete_table(family: int, table: str) -> bytes:
    """Write the message that removes a table with all that is in it."""
    return message(_DELETE_TABLE, ACK, nlmsg.nfgenmsg(family) + _text(1, table))


def new_chain(family: int, table: str, chain: Chain) -> bytes:
    """Write the message that makes a chain."""
    head = nlmsg.nfgenmsg(family) + _text(1, table)
    return message(_NEW_CHAIN, CREATE | ACK, head + _chain(chain))


def new_rule(
    family: int, table: str, chain: str, rule: Sequence[Expression], comment: str = ""
) -> bytes:
    """Write the message that appends a rule to a chain; nft(8) shows its comment."""
    listed = b"".join(attribute(1 | NESTED, each) for each in rule)  # NFTA_LIST_ELEM
    body = nlmsg.nfgenmsg(family) + _text(1, table) + _text(2, chain)
    body += attribute(4 | NESTED, listed)
    if comment:
        text = comment.encode() + b"\0"
        body += attribute(7, bytes([0, len(text)]) + text)  # NFTNL_UDATA_RULE_COMMENT
    return message(_NEW_RULE, CREATE | ACK | APPEND, body)


def _set(made: NftSet, number: int) -> bytes:
    """Write NFTA_SET_* behind the table's name."""
    written = _text(2, made.name) + _number(3, made.flags) + _number(4, 0)
    written += _number(5, made.key_length) + _number(10, number)
    return written + (attribute(11, struct.pack("!Q", made.timeout)) if made.timeout else b"")


def _chain(chain: Chain) -> bytes:
    """Write NFTA_CHAIN_* behind the table's name."""
    hook = _number(1, chain.number) + attribute(2, struct.pack("!i", chain.priority))
    return _text(3, chain.name) + attribute(4 | NESTED, hook) + _text(7, chain.kind)


def _text(kind: int, text: str) -> bytes:
    return attribute(kind, text.encode() + b"\0")


def _number(kind: int, number: int) -> bytes:
    return attribute(kind, struct.pack("!I", number))
