"""The two sockets by which SYNs are held: a ring that is shown them, and one that sends as anybody.

interception.py drops each SYN that lacks MARK before any listener sees it. A packet socket has had
a copy; whoever holds the sockets answers the SYN, or sends it again with MARK. Both need NET_RAW in
the namespace when they are made, and nothing later.
"""

import ctypes
import socket
import struct
from dataclasses import dataclass
from typing import Final

from netns.plan import OWN_ADDRESS

MARK: Final = 0x6B6C
"""SO_MARK of what is sent again. The command cannot set one: that takes NET_ADMIN or NET_RAW."""

FRAME_SIZE: Final = 256
"""Bytes of the ring for one SYN: its headers are at most 120, and those of the frame 80."""

FRAMES: Final = 4096

_BLOCK_SIZE: Final = 64 * 1024
_ETH_P_IP: Final = 0x0800
_SOL_PACKET: Final = 263
_PACKET_RX_RING: Final = 5
_PACKET_VERSION: Final = 10
_TPACKET_V2: Final = 1
_SO_ATTACH_FILTER: Final = 26
_SO_MARK: Final = 36
_DNS_PORT: Final = 53


@dataclass(frozen=True)
class SynSockets:
    """What holding a SYN takes."""

    tap: socket.socket
    """packet(7): FRAMES frames of a TPACKET_V2 ring, each with a SYN from its IP header on."""
    raw: socket.socket
    """raw(7), IPPROTO_RAW: sends whole packets, marked with MARK."""

    def close(self) -> None:
        """Close both."""
        self.tap.close()
        self.raw.close()


def open_sockets() -> SynSockets:
    """Make both; raises OSError where the kernel has no packet sockets, or gives none."""
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    try:
        raw.setsockopt(socket.SOL_SOCKET, _SO_MARK, MARK)
        return SynSockets(_tap(), raw)
    except BaseException:
        raw.close()
        raise


def _tap() -> socket.socket:
    """Open the packet socket: filter and ring first, so that nothing else is ever in it."""
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
    try:
        program = b"".join(struct.pack("HBBI", *each) for each in _filter())
        code = ctypes.create_string_buffer(program)
        fprog = struct.pack("HL", len(program) // 8, ctypes.addressof(code))
        tap.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)
        tap.setsockopt(_SOL_PACKET, _PACKET_VERSION, _TPACKET_V2)
        blocks = FRAMES * FRAME_SIZE // _BLOCK_SIZE
        ring = struct.pack("4I", _BLOCK_SIZE, blocks, FRAME_SIZE, FRAMES)
        tap.setsockopt(_SOL_PACKET, _PACKET_RX_RING, ring)
        tap.bind(("lo", _ETH_P_IP))
    except BaseException:
        tap.close()
        raise
    return tap


def _filter() -> list[tuple[int, int, int, int]]:
    """Return the classic BPF program (bpf(4)): the SYNs that interception.py drops, and no others.

    Each test jumps to the last line, which drops; the distances are filled in at the end.
    """
    load_word, load_half, load_byte, load_x = 0x20, 0x28, 0x30, 0xB1
    half_at_x, byte_at_x, and_, return_ = 0x48, 0x50, 0x54, 0x06
    jump_equal, jump_set, ancillary = 0x15, 0x45, 0xFFFFF000
    is_, is_not = True, False
    own_address = int.from_bytes(socket.inet_aton(OWN_ADDRESS), "big")
    lines: list[tuple[int, int] | tuple[int, int, bool]] = [
        (load_word, ancillary + 20),  # SKF_AD_MARK
        (jump_equal, MARK, is_),
        (load_word, ancillary + 4),  # SKF_AD_PKTTYPE
        (jump_equal, 4, is_),  # PACKET_OUTGOING
        (load_byte, 9),
        (jump_equal, socket.IPPROTO_TCP, is_not),
        (load_byte, 16),
        (jump_equal, 127, is_),
        (load_word, 16),
        (jump_equal, own_address, is_),
        (load_half, 6),
        (jump_set, 0x3FFF, is_),  # a fragment
        (load_x, 0),
        (byte_at_x, 13),
        (and_, 0x12),
        (jump_equal, 0x02, is_not),  # SYN without ACK
        (half_at_x, 2),
        (jump_equal, _DNS_PORT, is_),
        (return_, 0xFFFF),
    ]
    program = []
    for index, (code, value, *drops) in enumerate(lines):
        to_drop = len(lines) - index - 1
        match drops:
            case [True]:
                program.append((code, to_drop, 0, value))
            case [False]:
                program.append((code, 0, to_drop, value))
            case _:
                program.append((code, 0, 0, value))
    return [*program, (return_, 0, 0, 0)]
