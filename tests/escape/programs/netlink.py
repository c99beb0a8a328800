"""Requests to rtnetlink(7) and nfnetlink, as bytes."""

import os
import socket
import struct
from typing import Final

_ACK: Final = 0x5  # NLM_F_REQUEST | NLM_F_ACK
_CREATE: Final = 0x600  # NLM_F_CREATE | NLM_F_EXCL
_ROUTE: Final = 0
_NETFILTER: Final = 12
_ERROR: Final = 2
_INET: Final = 1  # NFPROTO_INET


def delete_table(name: str) -> None:
    """Delete a table of nf_tables; raises OSError."""
    begin = _message(0x10, 0x1, struct.pack("!BBH", 0, 0, 10))  # NFNL_MSG_BATCH_BEGIN
    body = struct.pack("!BBH", _INET, 0, 0) + _attribute(1, name.encode() + b"\0")
    delete = _message(10 << 8 | 2, _ACK, body)  # NFT_MSG_DELTABLE
    end = _message(0x11, 0x1, struct.pack("!BBH", 0, 0, 10))
    _ask(_NETFILTER, begin + delete + end)


def delete_local_route() -> None:
    """Delete the route that makes every address local; raises OSError."""
    header = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 255, 0, 0, 2, 0)
    _ask(_ROUTE, _message(25, _ACK, header))  # RTM_DELROUTE


def add_address(index: int, address: str) -> None:
    """Give an interface an address; raises OSError."""
    packed = socket.inet_aton(address)
    body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 0, index)
    body += _attribute(1, packed) + _attribute(2, packed)
    _ask(_ROUTE, _message(20, _ACK | _CREATE, body))  # RTM_NEWADDR


def add_veth(name: str, peer: str, pid: int) -> None:
    """Make a veth pair whose other end is in the network of a process; raises OSError."""
    link = struct.pack("=BxHiII", 0, 0, 0, 0, 0)
    other = link + _attribute(3, peer.encode() + b"\0") + _attribute(19, struct.pack("=I", pid))
    info = _attribute(1, b"veth\0") + _attribute(2, _attribute(1, other))
    body = link + _attribute(3, name.encode() + b"\0") + _attribute(18, info)
    _ask(_ROUTE, _message(16, _ACK | _CREATE, body))  # RTM_NEWLINK


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body


def _ask(protocol: int, request: bytes) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as asked:
        asked.settimeout(2)
        asked.send(request)
        answer = asked.recv(65536)
    kind, code = struct.unpack_from("=4xH10xi", answer)
    if kind == _ERROR and code:
        raise OSError(-code, os.strerror(-code))
