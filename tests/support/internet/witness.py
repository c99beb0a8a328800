"""Stands at a client's link, and counts what leaves to destinations that a session's rules deny.

It sees each packet over IPv4 that is no part of a TCP connection, and each first SYN of one; what
name servers are asked is what the zone has kept. So a test needs not think of it: each session of
keepline in the client with deny rules is watched from its start to its end.
"""

import contextlib
import ctypes
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from relay.policy.index import Index

from .links import Interface
from .servers.zone import Zone

_SO_ATTACH_FILTER: Final = 26
_ALL_PROTOCOLS: Final = 3  # ETH_P_ALL
_OUTGOING: Final = 4  # PACKET_OUTGOING
_SOL_PACKET: Final = 263
_PACKET_STATISTICS: Final = 6
_TCP: Final = 6
_DNS: Final = 53

# Classic BPF over an Ethernet frame, bpf(4): IPv4 that is no TCP, or a SYN without ACK.
_FILTER: Final = (
    (0x28, 0, 0, 12),  # the type of the frame
    (0x15, 0, 7, 0x0800),
    (0x30, 0, 0, 14 + 9),  # the protocol
    (0x15, 0, 4, _TCP),
    (0xB1, 0, 0, 14),  # the length of IP's header
    (0x50, 0, 0, 14 + 13),  # TCP's flags
    (0x54, 0, 0, 0x12),
    (0x15, 0, 1, 0x02),
    (0x06, 0, 0, 64),
    (0x06, 0, 0, 0),
)


@dataclass
class Totals:
    """What all witnesses of a run of tests have seen."""

    sessions: int = 0
    """With deny rules."""
    packets: int = 0
    questions: int = 0
    denied: int = 0
    """Of both, those that should not have left."""


TOTALS: Final = Totals()


@dataclass
class Witness:
    """Watches one link; `seen` is empty as long as nothing has left that was denied."""

    _interface: Interface
    _zones: tuple[Zone, ...]
    seen: list[str] = field(default_factory=list)
    _sent: list[tuple[str, int | None]] = field(default_factory=list)
    _missed: int = 0
    """Packets for which the kernel had no room."""

    def __post_init__(self) -> None:
        """Watch from now on."""
        with self._interface.host:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self._socket.setblocking(False)
        code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *s) for s in _FILTER))
        program = struct.pack("HL", len(_FILTER), ctypes.addressof(code))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        self._socket.bind((self._interface.name, _ALL_PROTOCOLS))

    async def watch(self) -> None:
        """Read, so that the kernel has room for more, until cancelled."""
        with self._socket:
            while True:
                await trio.lowlevel.wait_readable(self._socket)
                self._read()

    def begin(self, rules: Index) -> Callable[[], None]:
        """Begin to watch what rules deny; return what ends that. It does nothing a second time."""
        self._read()
        missed = self._missed
        sent, asked = len(self._sent), [len(zone.queries) for zone in self._zones]
        is_over = False

        def end() -> None:
            nonlocal is_over
            if is_over:
                return
            is_over = True
            self._read()
            names = [
                (query.name, None)
                for zone, first in zip(self._zones, asked, strict=True)
                for query in zone.queries[first:]
            ]
            left = self._sent[sent:]
            if not rules.rules:
                return
            if self._missed > missed:
                self.seen.append(f"{self._missed - missed} packets that were not looked at")
            TOTALS.sessions += 1
            TOTALS.packets += len(left)
            TOTALS.questions += len(names)
            for host, port in (*left, *names):
                if rule := rules.match(host, port):
                    TOTALS.denied += 1
                    self.seen.append(f"{host} port {port}, denied by {rule.text}")

        return end

    def forget(self) -> None:
        """Forget what was seen, for a test in which it was to leave."""
        TOTALS.denied -= len(self.seen)
        self.seen.clear()

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):  # closed, or the link is down
            while True:
                frame, (_name, _protocol, direction, *_) = self._socket.recvfrom(64)
                if direction == _OUTGOING:
                    self._note(frame[14:])
        if self._socket.fileno() != -1:
            counts = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
            self._missed += struct.unpack("II", counts)[1]

    def _note(self, packet: bytes) -> None:
        """Keep a destination; resolvers are asked whatever the rules are."""
        size = 4 * (packet[0] & 15)
        has_ports = packet[9] in {_TCP, socket.IPPROTO_UDP}
        port = int.from_bytes(packet[size + 2 : size + 4], "big") if has_ports else None
        if port != _DNS:
            self._sent.append((socket.inet_ntoa(packet[16:20]), port))
