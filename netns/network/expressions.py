"""Expressions of nf_tables, of which rules are made, as pyroute2 takes them.

A rule goes on from one to the next as long as each of them holds.
"""

import socket
import struct
from typing import Any, Final, TypeAlias

from pyroute2.netlink.nfnetlink.nftsocket import nft_contains_expr

from netns.network.holding import ANY_OF_MARKS, BURST_BIT, GROUP, MARK

Expression: TypeAlias = tuple[str, list[tuple[str, Any]]]

# pyroute2 0.9.5 writes these two of the log expression with 32 bits, where the kernel reads 16.
_log = nft_contains_expr.nft_expr.nft_log
_log.nla_map = tuple(
    (name, "be16" if name in {"NFTA_LOG_GROUP", "NFTA_LOG_QTHRESHOLD"} else kind)
    for name, kind in _log.nla_map
)

NETWORK_HEADER: Final = 1
TRANSPORT_HEADER: Final = 2
_META_L4PROTO: Final = 16
_META_MARK: Final = 3
_SOCKET_TRANSPARENT: Final = 0


def written(expression: Expression) -> dict[str, Any]:
    """Write an expression the way pyroute2 takes it."""
    name, fields = expression
    attributes = [(f"NFTA_{name.upper()}_{key}", value) for key, value in fields]
    return {"attrs": [("NFTA_EXPR_NAME", name), ("NFTA_EXPR_DATA", {"attrs": attributes})]}


def data(value: bytes) -> dict[str, Any]:
    """Write a value."""
    return {"attrs": [("NFTA_DATA_VALUE", value)]}


def is_(value: bytes) -> Expression:
    """Go on with the rule only if register 1 holds `value`."""
    return "cmp", [("SREG", 1), ("OP", 0), ("DATA", data(value))]


def masked(mask: bytes) -> Expression:
    """Keep the bits of register 1 that are set in `mask`."""
    masks = ("MASK", data(mask)), ("XOR", data(bytes(len(mask))))
    return "bitwise", [("SREG", 1), ("DREG", 1), ("LEN", len(mask)), *masks]


def is_not(value: bytes) -> Expression:
    """Go on with the rule only if register 1 holds something else."""
    return "cmp", [("SREG", 1), ("OP", 1), ("DATA", data(value))]


def payload_is(base: int, offset: int, value: bytes) -> list[Expression]:
    """Go on with the rule only if the packet holds `value` at `offset` of a header."""
    return [payload(base, offset, len(value)), is_(value)]


def payload(base: int, offset: int, length: int, register: int = 1) -> Expression:
    """Load `length` bytes at `offset` of a header."""
    return "payload", [("DREG", register), ("BASE", base), ("OFFSET", offset), ("LEN", length)]


def verdict(code: int) -> Expression:
    """End the rule, and the chain, with NF_DROP or NF_ACCEPT."""
    written_code = {"attrs": [("NFTA_DATA_VERDICT", {"attrs": [("NFTA_VERDICT_CODE", code)]})]}
    return "immediate", [("DREG", 0), ("DATA", written_code)]


def to_listener(family: int, address: bytes, port: int) -> list[Expression]:
    """Give a connection to a transparent listener; the rule ends where nobody listens there."""
    return [
        ("immediate", [("DREG", 2), ("DATA", data(struct.pack("!H", port)))]),
        ("immediate", [("DREG", 1), ("DATA", data(address))]),
        ("tproxy", [("FAMILY", family), ("REG_ADDR", 1), ("REG_PORT", 2)]),
    ]


def is_in(name: str, *, inverted: bool = False) -> Expression:
    """Go on with the rule only if register 1 is in a set, or only if it is not."""
    flags: list[tuple[str, Any]] = [("FLAGS", {"NFT_LOOKUP_F_INV"})] if inverted else []
    return "lookup", [("SET", name), ("SREG", 1), *flags]


ACCEPT = verdict(1)
IS_TCP: list[Expression] = [
    ("meta", [("KEY", _META_L4PROTO), ("DREG", 1)]),
    is_(bytes([socket.IPPROTO_TCP])),
]
_MARK_OF: Expression = ("meta", [("KEY", _META_MARK), ("DREG", 1)])
_FLAGS: list[Expression] = [payload(TRANSPORT_HEADER, 13, 1), masked(b"\x12")]
IS_SYN: list[Expression] = [*IS_TCP, *_FLAGS, is_(b"\x02"), _MARK_OF]
"""SYN without ACK, whose mark is in register 1."""
IS_NO_SYN: list[Expression] = [*_FLAGS, is_not(b"\x02")]
IS_OURS: list[Expression] = [
    _MARK_OF,
    masked(struct.pack("=I", ANY_OF_MARKS)),
    is_(struct.pack("=I", MARK)),
]
"""Any of keepline's marks."""
IS_PROGRAMS: list[Expression] = [*IS_OURS[:2], is_not(struct.pack("=I", MARK))]
IS_SENT_AGAIN: list[Expression] = [
    _MARK_OF,
    masked(struct.pack("=I", ~BURST_BIT & 0xFFFFFFFF)),
    is_(struct.pack("=I", MARK)),
]
"""A SYN whose destination was reached."""
HAS_SERVER: list[Expression] = [("socket", [("KEY", _SOCKET_TRANSPARENT), ("DREG", 1)]), is_(b"\0")]
"""A socket of a program takes it: the relay's own are transparent, those of programs cannot be."""
LOG_AND_DROP: list[Expression] = [
    ("log", [("GROUP", GROUP), ("QTHRESHOLD", 1)]),  # each one at once
    verdict(0),
]
