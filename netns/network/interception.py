"""The rules that send every TCP connection to one listener, by tproxy or else by nat redirect.

With tproxy they can also drop SYNs and log them, to be held until the destination is reached.

The rules live in one table of the namespace's own nf_tables, so nothing is shared with the host.
"""

import os
import socket
import struct
from typing import Any, Final, Literal, TypeAlias

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.netlink.nfnetlink.nftsocket import NFT_MSG_NEWSET, nft_contains_expr, nft_set_msg
from pyroute2.nftables.main import NFTables

from netns.network import host_addresses
from netns.network.holding import (
    ANY_OF_MARKS,
    BURST_BIT,
    BURST_MARK,
    BURST_SECONDS,
    GROUP,
    MARK,
    PUBLISHED_MARK,
)

Expression: TypeAlias = tuple[str, list[tuple[str, Any]]]

# pyroute2 0.9.5 writes these two of the log expression with 32 bits, where the kernel reads 16.
_log = nft_contains_expr.nft_expr.nft_log
_log.nla_map = tuple(
    (name, "be16" if name in {"NFTA_LOG_GROUP", "NFTA_LOG_QTHRESHOLD"} else kind)
    for name, kind in _log.nla_map
)

TABLE: Final = "keepline"
_DNS_PORT = 53
_NETWORK_HEADER = 1
_TRANSPORT_HEADER = 2
_META_L4PROTO = 16
_META_MARK = 3
_SOCKET_TRANSPARENT = 0
_REGISTER_AFTER_4 = 9
"""NFT_REG32_01: the second word of register 1."""
_BURSTS = "bursts"
_UPDATE = 1
_CHAINS: Final = {
    "tproxy": ("prerouting", "filter", -150),  # NF_IP_PRI_MANGLE
    "redirect": ("output", "nat", -100),  # NF_IP_PRI_NAT_DST
}
"""Hook, type and priority."""


def load() -> None:
    """Do nothing: the call itself loads a deferred module, and pyroute2 with it."""


def install(
    way: Literal["tproxy", "redirect"],
    own_address: str,
    port: int,
    *,
    held: bool = False,
    servers: bool = False,
) -> None:
    """Send every TCP connection but DNS, loopback's and our own address's to `port`.

    With tproxy there is no NAT and no conntrack, and getsockname() of an accepted socket is the
    original destination; prerouting sees everything, for everything comes back in through lo. If
    SYNs are `held`, those without a mark of holding.py are dropped there, but for bursts: a drop
    in the output hook would look like congestion to the program's kernel. The tproxy expression
    before the drop ends that rule once the listener is gone, and the relay with it: then nobody
    would answer what is held, and the kernel refuses it.
    If `servers` are to be found, what goes to an address of host_addresses.py, at whose port a
    socket of the namespace listens, stays in the namespace, as it would stay on the host. Only so:
    one that listens at all addresses would otherwise have the whole internet's port. The relay's
    own sockets are transparent, those of programs cannot be.
    What bears PUBLISHED_MARK stays in the namespace, whether or not anybody listens.
    With redirect, SO_ORIGINAL_DST returns the destination. Raises OSError.
    """
    sets = [*([_BURST_SET] if held else []), *([_HOST_SET] if servers else [])]
    rules = _rules(way, own_address, port, held=held, servers=servers)
    try:
        with NFTables() as nft:
            # Where there is no nf_tables, only a question gets an answer: pyroute2 would wait
            # for that of a batch for ever.
            nft.get_rules()
            _add_chain(nft, _CHAINS[way], sets, rules)
    except NetlinkError as error:
        raise OSError(error.code, os.strerror(error.code)) from error


def _rules(
    way: Literal["tproxy", "redirect"], own_address: str, port: int, *, held: bool, servers: bool
) -> list[list[Expression]]:
    """Return the rules in order."""
    number: Expression = ("immediate", [("DREG", 2), ("DATA", _data(struct.pack("!H", port)))])
    if way == "tproxy":
        to_listener: list[Expression] = [
            number,
            ("immediate", [("DREG", 1), ("DATA", _data(socket.inet_aton("127.0.0.1")))]),
            ("tproxy", [("FAMILY", socket.AF_INET), ("REG_ADDR", 1), ("REG_PORT", 2)]),
            _ACCEPT,
        ]
    else:
        to_listener = [number, ("redir", [("REG_PROTO_MIN", 2)])]
    return [
        *([_LOG_LOOPBACK_REFUSAL] if held else []),
        [*_IS_ANSWER, _ACCEPT],
        [*_MARK, _is(struct.pack("=I", PUBLISHED_MARK)), _ACCEPT],
        [*_payload_is(_NETWORK_HEADER, 16, b"\x7f"), _ACCEPT],
        [*_payload_is(_NETWORK_HEADER, 16, socket.inet_aton(own_address)), _ACCEPT],
        [*_IS_TCP, *_payload_is(_TRANSPORT_HEADER, 2, struct.pack("!H", _DNS_PORT)), _ACCEPT],
        *([[*_IS_TCP, *_IS_FOR_SERVER, _ACCEPT]] if servers else []),
        *([_NOTE_BURST, [*_IS_HELD, *to_listener[:-1], *_LOG_AND_DROP]] if held else []),
        [*_IS_TCP, *to_listener],
    ]


def _add_chain(
    nft: Any,
    base: tuple[str, str, int],
    sets: list[dict[str, Any]],
    rules: list[list[Expression]],
) -> None:
    """Add table, chain and rules, all or none, and read back that they are there."""
    hook, chain_type, priority = base
    nft.table("add", name=TABLE)
    try:
        for each in sets:
            # sets() of pyroute2 0.9.5 fails once it has sent this.
            nft._command(nft_set_msg, {"add": NFT_MSG_NEWSET}, "add", dict(each))  # noqa: SLF001
        nft.chain("add", table=TABLE, name=hook, hook=hook, type=chain_type, priority=priority)
        for rule in rules:
            nft.rule("add", table=TABLE, chain=hook, expressions=[map(_written, rule)])
        _require(len(rules), nft)
    except BaseException:
        nft.table("del", name=TABLE)
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


def _masked(mask: bytes) -> Expression:
    """Keep the bits of register 1 that are set in `mask`."""
    masks = ("MASK", _data(mask)), ("XOR", _data(bytes(len(mask))))
    return "bitwise", [("SREG", 1), ("DREG", 1), ("LEN", len(mask)), *masks]


def _is_not(value: bytes) -> Expression:
    """Go on with the rule only if register 1 holds something else."""
    return "cmp", [("SREG", 1), ("OP", 1), ("DATA", _data(value))]


def _payload_is(base: int, offset: int, value: bytes) -> list[Expression]:
    """Go on with the rule only if the packet holds `value` at `offset` of a header."""
    return [_payload(base, offset, len(value)), _is(value)]


def _payload(base: int, offset: int, length: int, register: int = 1) -> Expression:
    """Load `length` bytes at `offset` of a header."""
    return "payload", [("DREG", register), ("BASE", base), ("OFFSET", offset), ("LEN", length)]


def _verdict(code: int) -> Expression:
    """End the rule, and the chain, with NF_DROP or NF_ACCEPT."""
    verdict = {"attrs": [("NFTA_DATA_VERDICT", {"attrs": [("NFTA_VERDICT_CODE", code)]})]}
    return "immediate", [("DREG", 0), ("DATA", verdict)]


_ACCEPT = _verdict(1)
_IS_TCP: list[Expression] = [
    ("meta", [("KEY", _META_L4PROTO), ("DREG", 1)]),
    _is(bytes([socket.IPPROTO_TCP])),
]
_MARK: list[Expression] = [("meta", [("KEY", _META_MARK), ("DREG", 1)])]
_IS_SYN: list[Expression] = [
    *_IS_TCP,
    _payload(_TRANSPORT_HEADER, 13, 1),
    _masked(b"\x12"),
    _is(b"\x02"),  # SYN without ACK
    *_MARK,
]
_IS_ANSWER: list[Expression] = [
    *_MARK,
    _masked(struct.pack("=I", ANY_OF_MARKS)),
    _is(struct.pack("=I", MARK)),
    _payload(_TRANSPORT_HEADER, 13, 1),
    _masked(b"\x12"),
    _is_not(b"\x02"),
]
"""What the relay sends to a program; tproxy would not find a socket that is bound to a device."""
_IS_FOR_SERVER: list[Expression] = [
    _payload(_NETWORK_HEADER, 16, 4),
    ("lookup", [("SET", host_addresses.NAME), ("SREG", 1)]),
    ("socket", [("KEY", _SOCKET_TRANSPARENT), ("DREG", 1)]),
    _is(b"\0"),
]
_DESTINATION: list[Expression] = [
    _payload(_NETWORK_HEADER, 16, 4),
    _payload(_TRANSPORT_HEADER, 2, 2, _REGISTER_AFTER_4),
]
_NOTE_BURST: list[Expression] = [
    *_IS_SYN,
    _is(struct.pack("=I", BURST_MARK)),
    *_DESTINATION,
    ("dynset", [("SET_NAME", _BURSTS), ("OP", _UPDATE), ("SREG_KEY", 1)]),
]
_IS_HELD: list[Expression] = [
    *_IS_SYN,
    _masked(struct.pack("=I", ~BURST_BIT & 0xFFFFFFFF)),
    _is_not(struct.pack("=I", MARK)),
    *_DESTINATION,
    ("lookup", [("SET", _BURSTS), ("SREG", 1), ("FLAGS", {"NFT_LOOKUP_F_INV"})]),
]
_LOG_AND_DROP: list[Expression] = [
    ("log", [("GROUP", GROUP), ("QTHRESHOLD", 1)]),  # each one at once
    _verdict(0),
]
_LOG_LOOPBACK_REFUSAL: list[Expression] = [
    *_payload_is(_NETWORK_HEADER, 12, b"\x7f"),
    *_IS_TCP,
    *_payload_is(_TRANSPORT_HEADER, 13, b"\x14"),  # RST and ACK, in answer to a SYN:
    *_payload_is(_TRANSPORT_HEADER, 4, bytes(4)),  # its sequence number is 0
    ("limit", [("RATE", 20), ("UNIT", 1), ("BURST", 20), ("TYPE", 0), ("FLAGS", 0)]),
    ("log", [("GROUP", GROUP), ("QTHRESHOLD", 1)]),
]
"""So that people can be told of it; twenty a second, for some programs poll."""
_BURST_SET = {
    "NFTA_SET_TABLE": TABLE,
    "NFTA_SET_NAME": _BURSTS,
    "NFTA_SET_ID": 1,
    "NFTA_SET_FLAGS": {"NFT_SET_TIMEOUT", "NFT_SET_EVAL"},
    "NFTA_SET_KEY_TYPE": 0,
    "NFTA_SET_KEY_LEN": 8,  # address and port
    "NFTA_SET_TIMEOUT": BURST_SECONDS * 1000,
}
"""The destinations of bursts."""
_HOST_SET = {
    "NFTA_SET_TABLE": TABLE,
    "NFTA_SET_NAME": host_addresses.NAME,
    "NFTA_SET_ID": 2,
    "NFTA_SET_KEY_TYPE": 0,
    "NFTA_SET_KEY_LEN": 4,
}
