"""Sends every TCP connection to one listener: tproxy, or else nat redirect, or else a port list.

The rules live in one table of the namespace's own nf_tables, so nothing is shared with the host.
"""

import os
import socket
import struct
from typing import Any, Literal, TypeAlias

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.nftables.main import NFTables

from netns.holding import MARK

Expression: TypeAlias = tuple[str, list[tuple[str, Any]]]

_TABLE = "keepline"
_DNS_PORT = 53
_NETWORK_HEADER = 1
_TRANSPORT_HEADER = 2
_META_L4PROTO = 16
_META_MARK = 3
_PRIORITY_MANGLE = -150
_PRIORITY_DSTNAT = -100


def load() -> None:
    """Do nothing: the call itself loads a deferred module, and pyroute2 with it."""


def install(
    way: Literal["tproxy", "redirect"], own_address: str, port: int, *, held: bool = False
) -> None:
    """Send every TCP connection but DNS, loopback's and our own address's to `port`.

    With tproxy there is no NAT and no conntrack, and getsockname() of an accepted socket is the
    original destination; prerouting sees everything, for everything comes back in through lo. If
    SYNs are `held`, those without holding.MARK are dropped there: a drop in the output hook would
    look like congestion to the program's kernel.
    With redirect, SO_ORIGINAL_DST returns the destination. Raises OSError.
    """
    number: Expression = ("immediate", [("DREG", 2), ("DATA", _data(struct.pack("!H", port)))])
    if way == "tproxy":
        base = ("prerouting", "filter", _PRIORITY_MANGLE)
        to_listener: list[Expression] = [
            number,
            ("immediate", [("DREG", 1), ("DATA", _data(socket.inet_aton("127.0.0.1")))]),
            ("tproxy", [("FAMILY", socket.AF_INET), ("REG_ADDR", 1), ("REG_PORT", 2)]),
            _ACCEPT,
        ]
    else:
        base = ("output", "nat", _PRIORITY_DSTNAT)
        to_listener = [number, ("redir", [("REG_PROTO_MIN", 2)])]
    try:
        with NFTables() as nft:
            # Where there is no nf_tables, only a question gets an answer: pyroute2 would wait
            # for that of a batch for ever.
            nft.get_rules()
            _add_chain(nft, own_address, base, to_listener, [_DROP_UNMARKED_SYN] if held else [])
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error


def _add_chain(
    nft: Any,
    own_address: str,
    base: tuple[str, str, int],
    to_listener: list[Expression],
    before: list[list[Expression]],
) -> None:
    """Add table, chain and rules, all or none, and read back that they are there."""
    hook, chain_type, priority = base
    rules: list[list[Expression]] = [
        [*_payload_is(_NETWORK_HEADER, 16, b"\x7f"), _ACCEPT],
        [*_payload_is(_NETWORK_HEADER, 16, socket.inet_aton(own_address)), _ACCEPT],
        [*_IS_TCP, *_payload_is(_TRANSPORT_HEADER, 2, struct.pack("!H", _DNS_PORT)), _ACCEPT],
        *before,
        [*_IS_TCP, *to_listener],
    ]
    nft.table("add", name=_TABLE)
    try:
        nft.chain("add", table=_TABLE, name=hook, hook=hook, type=chain_type, priority=priority)
        for rule in rules:
            nft.rule("add", table=_TABLE, chain=hook, expressions=[map(_written, rule)])
        _require(len(rules), nft)
    except BaseException:
        nft.table("del", name=_TABLE)
        raise


def _require(count: int, nft: Any) -> None:
    """Raise OSError unless the kernel has taken `count` rules."""
    found = len(nft.get_rules())
    if found != count:
        raise OSError(f"the kernel took {found} of {count} nf_tables rules")


def _written(expression: Expression) -> dict[str, Any]:
    """Write an expression the way pyroute2 takes it."""
    name, fields = expression
    data = [(f"NFTA_{name.upper()}_{key}", value) for key, value in fields]
    return {"attrs": [("NFTA_EXPR_NAME", name), ("NFTA_EXPR_DATA", {"attrs": data})]}


def _data(value: bytes) -> dict[str, Any]:
    return {"attrs": [("NFTA_DATA_VALUE", value)]}


def _is(value: bytes) -> Expression:
    """Go on with the rule only if register 1 holds `value`."""
    return "cmp", [("SREG", 1), ("OP", 0), ("DATA", _data(value))]


def _is_not(value: bytes) -> Expression:
    """Go on with the rule only if register 1 holds something else."""
    return "cmp", [("SREG", 1), ("OP", 1), ("DATA", _data(value))]


def _payload_is(base: int, offset: int, value: bytes) -> list[Expression]:
    """Go on with the rule only if the packet holds `value` at `offset` of a header."""
    load = [("DREG", 1), ("BASE", base), ("OFFSET", offset), ("LEN", len(value))]
    return [("payload", load), _is(value)]


def _verdict(code: int) -> Expression:
    """End the rule, and the chain, with NF_DROP or NF_ACCEPT."""
    verdict = {"attrs": [("NFTA_DATA_VERDICT", {"attrs": [("NFTA_VERDICT_CODE", code)]})]}
    return "immediate", [("DREG", 0), ("DATA", verdict)]


_ACCEPT = _verdict(1)
_IS_TCP: list[Expression] = [
    ("meta", [("KEY", _META_L4PROTO), ("DREG", 1)]),
    _is(bytes([socket.IPPROTO_TCP])),
]
_DROP_UNMARKED_SYN: list[Expression] = [
    *_IS_TCP,
    ("payload", [("DREG", 1), ("BASE", _TRANSPORT_HEADER), ("OFFSET", 13), ("LEN", 1)]),
    (
        "bitwise",
        [("SREG", 1), ("DREG", 1), ("LEN", 1), ("MASK", _data(b"\x12")), ("XOR", _data(b"\0"))],
    ),
    _is(b"\x02"),  # SYN without ACK
    ("meta", [("KEY", _META_MARK), ("DREG", 1)]),
    _is_not(struct.pack("=I", MARK)),
    _verdict(0),
]
