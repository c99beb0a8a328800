"""Which packets are meant, as nftables expressions; pure: it only builds lists."""

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from pyroute2.netlink.nfnetlink.nftsocket import Cmp, Meta
from pyroute2.nftables.expressions import genex

Expressions = list[Any]

_REGISTER: Final = 1
_NETWORK_HEADER: Final = 1
_TRANSPORT_HEADER: Final = 2
_PROTOCOLS: Final = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
_NFPROTO: Final = {4: 2, 6: 10}
# Offset of source and destination address in each header, RFC 791 and RFC 8200.
_ADDRESS_OFFSETS: Final = {4: (12, 16), 6: (8, 24)}
_TCP_FLAGS_OFFSET: Final = 13
_SYN: Final = 0x02
_SYN_ACK: Final = 0x12
_PARTS: Final = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Packets:
    """The packets that have all the given properties; none given means every packet."""

    version: Literal[4, 6] | None = None
    protocol: Literal["tcp", "udp"] | None = None
    source: str | None = None  # an address or a network, of either version
    destination: str | None = None
    source_port: int | None = None
    destination_port: int | None = None
    only_syn: bool = False  # TCP connection attempts
    interface: str | None = None  # the one the packets come in by

    def expressions(self) -> Expressions:
        """Build the nftables expressions that let a rule go on for these packets only."""
        return [*self._meta(), *self._addresses(), *self._transport()]

    def _meta(self) -> Expressions:
        built: Expressions = []
        if self.interface is not None:
            name = self.interface.encode().ljust(16, b"\0")
            built += [_load_meta(Meta.NFT_META_IIFNAME), compare(name)]
        version = self.version or self._version_of_addresses()
        if version is not None:
            built += [_load_meta(Meta.NFT_META_NFPROTO), compare(bytes([_NFPROTO[version]]))]
        protocol = self.protocol or ("tcp" if self.only_syn else None)
        if protocol is not None:
            number = bytes([_PROTOCOLS[protocol]])
            built += [_load_meta(Meta.NFT_META_L4PROTO), compare(number)]
        elif self.source_port is not None or self.destination_port is not None:
            raise ValueError("a port needs a protocol")
        return built

    def _version_of_addresses(self) -> int | None:
        for text in (self.source, self.destination):
            if text is not None:
                return ipaddress.ip_network(text).version
        return None

    def _addresses(self) -> Expressions:
        built: Expressions = []
        for position, text in enumerate((self.source, self.destination)):
            if text is not None:
                network = ipaddress.ip_network(text)
                offset = _ADDRESS_OFFSETS[network.version][position]
                built += _in_network(network, offset)
        return built

    def _transport(self) -> Expressions:
        built: Expressions = []
        for offset, port in ((0, self.source_port), (2, self.destination_port)):
            if port is not None:
                built += [_load(_TRANSPORT_HEADER, offset, 2), compare(port.to_bytes(2, "big"))]
        if self.only_syn:
            built += [_load(_TRANSPORT_HEADER, _TCP_FLAGS_OFFSET, 1)]
            built += [_mask(bytes([_SYN_ACK])), compare(bytes([_SYN]))]
        return built


def at_random(fraction: float) -> Expressions:
    """Let a rule go on for this fraction of the packets."""
    limit = round(fraction * _PARTS)
    number = {"dreg": _REGISTER, "modulus": _PARTS, "type": 1, "offset": 0}
    # The number comes in the machine's byte order, comparisons go from the first byte on.
    swap = {"sreg": _REGISTER, "dreg": _REGISTER, "op": 1, "len": 4, "size": 4}
    return [
        _expression("numgen", "ng", number),
        _expression("byteorder", "byteorder", swap),
        compare(limit.to_bytes(4, "big"), Cmp.NFT_CMP_LT),
    ]


def leaving_by(interface: str) -> Expressions:
    """Let a rule go on for packets that leave by this interface."""
    name = interface.encode().ljust(16, b"\0")
    return [_load_meta(Meta.NFT_META_OIFNAME), compare(name)]


def conntrack_state(state: int) -> Expressions:
    """Let a rule go on for packets in one of these states, a bit mask of NF_CT_STATE_*."""
    mask = state.to_bytes(4, "little")
    return [
        genex("ct", {"dreg": _REGISTER, "key": 0}),
        _mask(mask),
        compare(bytes(4), Cmp.NFT_CMP_NEQ),
    ]


def compare(value: bytes, how: Cmp = Cmp.NFT_CMP_EQ) -> Any:
    """Compare the register with `value`."""
    data = {"attrs": [("NFTA_DATA_VALUE", value)]}
    return genex("cmp", {"sreg": _REGISTER, "op": int(how), "data": data})


def _in_network(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network, offset: int
) -> Iterable[Any]:
    yield _load(_NETWORK_HEADER, offset, network.max_prefixlen // 8)
    if network.prefixlen != network.max_prefixlen:
        yield _mask(network.netmask.packed)
    yield compare(network.network_address.packed)


def _load(header: int, offset: int, length: int) -> Any:
    where = {"dreg": _REGISTER, "base": header, "offset": offset, "len": length}
    return genex("payload", where)


def _load_meta(key: Meta) -> Any:
    return genex("meta", {"dreg": _REGISTER, "key": int(key)})


def _mask(mask: bytes) -> Any:
    registers = {"sreg": _REGISTER, "dreg": _REGISTER, "len": len(mask)}
    values = {
        "mask": {"attrs": [("NFTA_DATA_VALUE", mask)]},
        "xor": {"attrs": [("NFTA_DATA_VALUE", bytes(len(mask)))]},
    }
    return genex("bitwise", registers | values)


def _expression(name: str, prefix: str, attributes: dict[str, Any]) -> Any:
    """Build what `genex` cannot: attributes that are not named after the expression."""
    data = [(f"NFTA_{prefix.upper()}_{key.upper()}", value) for key, value in attributes.items()]
    return {"attrs": [("NFTA_EXPR_NAME", name), ("NFTA_EXPR_DATA", {"attrs": data})]}
