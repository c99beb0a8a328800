"""Expressions of nf_tables, of which rules are made, as the kernel reads them.

A rule goes on from one to the next as long as each of them holds. Attributes and their numbers are
those of <linux/netfilter/nf_tables.h>. They are written by hand: a library took 1 ms for each rule.
"""

import socket
import struct
from typing import Final, TypeAlias

from netns.network.holding import ANY_OF_MARKS, BURST_BIT, GROUP, MARK
from netns.network.nlmsg import NESTED, attribute

Expression: TypeAlias = bytes

NETWORK_HEADER: Final = 1
TRANSPORT_HEADER: Final = 2
_META_L4PROTO: Final = 16
_META_MARK: Final = 3
_SOCKET_TRANSPARENT: Final = 0
_INVERTED: Final = 1  # NFT_LOOKUP_F_INV
_UPDATE: Final = 1  # NFT_DYNSET_OP_UPDATE


def expression(name: str, *attributes: tuple[int, bytes | int]) -> Expression:
    """Write an expression; a number has 32 bits, and bytes are as they stand."""
    written = b"".join(
        attribute(kind, struct.pack("!I", value) if isinstance(value, int) else value)
        for kind, value in attributes
    )
    return attribute(1, name.encode() + b"\0") + attribute(2 | NESTED, written)  # NFTA_EXPR_*


def _data(value: bytes) -> bytes:
    return attribute(1, value)  # NFTA_DATA_VALUE


def is_(value: bytes) -> Expression:
    """Go on with the rule only if register 1 holds `value`."""
    return expression("cmp", (1, 1), (2, 0), (3 | NESTED, _data(value)))


def is_not(value: bytes) -> Expression:
    """Go on with the rule only if register 1 holds something else."""
    return expression("cmp", (1, 1), (2, 1), (3 | NESTED, _data(value)))


def masked(mask: bytes) -> Expression:
    """Keep the bits of register 1 that are set in `mask`."""
    changed = (4 | NESTED, _data(mask)), (5 | NESTED, _data(bytes(len(mask))))
    return expression("bitwise", (1, 1), (2, 1), (3, len(mask)), *changed)


def payload_is(base: int, offset: int, value: bytes) -> list[Expression]:
    """Go on with the rule only if the packet holds `value` at `offset` of a header."""
    return [payload(base, offset, len(value)), is_(value)]


def payload(base: int, offset: int, length: int, register: int = 1) -> Expression:
    """Load `length` bytes at `offset` of a header."""
    return expression("payload", (1, register), (2, base), (3, offset), (4, length))


def verdict(code: int) -> Expression:
    """End the rule, and the chain, with NF_DROP or NF_ACCEPT."""
    ended = attribute(2 | NESTED, attribute(1, struct.pack("!I", code)))  # NFTA_DATA_VERDICT
    return expression("immediate", (1, 0), (2 | NESTED, ended))


def immediate(register: int, value: bytes) -> Expression:
    """Load a value."""
    return expression("immediate", (1, register), (2 | NESTED, _data(value)))


def to_listener(family: int, address: bytes, port: int) -> list[Expression]:
    """Give a connection to a transparent listener; the rule ends where nobody listens there."""
    number = immediate(2, struct.pack("!H", port))
    return [number, immediate(1, address), expression("tproxy", (1, family), (2, 1), (3, 2))]


def redirected(port: int) -> list[Expression]:
    """Give a connection to a port of this machine, by NAT."""
    return [immediate(2, struct.pack("!H", port)), expression("redir", (1, 2))]


def is_in(name: str, *, inverted: bool = False) -> Expression:
    """Go on with the rule only if register 1 is in a set, or only if it is not."""
    flags = [(5, _INVERTED)] if inverted else []
    return expression("lookup", (1, name.encode() + b"\0"), (2, 1), *flags)


def put_into(name: str) -> Expression:
    """Put register 1 into a set, for as long as its elements stay."""
    return expression("dynset", (1, name.encode() + b"\0"), (3, _UPDATE), (4, 1))


def at_most(rate: int) -> Expression:
    """Go on with the rule so often a second, and as often at once."""
    second = struct.pack("!Q", 1)
    return expression("limit", (1, struct.pack("!Q", rate)), (2, second), (3, rate))


ACCEPT: Final = verdict(1)
LOG: Final = expression("log", (1, struct.pack("!H", GROUP)), (4, struct.pack("!H", 1)))
"""To whoever listens to GROUP, each one at once."""
LOG_AND_DROP: Final = [LOG, verdict(0)]
IS_TCP: Final = [
    expression("meta", (2, _META_L4PROTO), (1, 1)),
    is_(bytes([socket.IPPROTO_TCP])),
]
_MARK_OF: Final = expression("meta", (2, _META_MARK), (1, 1))
_FLAGS: Final = [payload(TRANSPORT_HEADER, 13, 1), masked(b"\x12")]
IS_SYN: Final = [*IS_TCP, *_FLAGS, is_(b"\x02"), _MARK_OF]
"""SYN without ACK, whose mark is in register 1."""
IS_NO_SYN: Final = [*_FLAGS, is_not(b"\x02")]
IS_OURS: Final = [
    _MARK_OF,
    masked(struct.pack("=I", ANY_OF_MARKS)),
    is_(struct.pack("=I", MARK)),
]
"""Any of keepline's marks."""
IS_PROGRAMS: Final = [*IS_OURS[:2], is_not(struct.pack("=I", MARK))]
IS_SENT_AGAIN: Final = [
    _MARK_OF,
    masked(struct.pack("=I", ~BURST_BIT & 0xFFFFFFFF)),
    is_(struct.pack("=I", MARK)),
]
"""A SYN whose destination was reached."""
_TRANSPARENT: Final = expression("socket", (1, _SOCKET_TRANSPARENT), (2, 1))
HAS_SERVER: Final = [_TRANSPARENT, is_(b"\0")]
"""A socket of a program takes it: the relay's own are transparent, those of programs cannot be."""
HAS_RELAYS: Final = [_TRANSPARENT, is_(b"\1")]
"""A socket of the relay takes it."""
