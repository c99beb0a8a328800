"""The ring in which the kernel shows us SYNs, read without a system call: TPACKET_V2, packet(7)."""

import mmap
import socket
import struct
from collections.abc import Iterator
from typing import Final

from netns.holding import FRAME_SIZE, FRAMES

_TP_STATUS_KERNEL: Final = 0
_TP_STATUS_USER: Final = 1
_STATUS: Final = struct.Struct("=I")
_LENGTHS: Final = struct.Struct("=4xIIHH")
"""tp_len, tp_snaplen, tp_mac and tp_net of struct tpacket2_hdr."""


class PacketRing:
    """A ring of FRAMES packets, read in order; while it is full, the kernel drops what comes."""

    def __init__(self, tap: socket.socket) -> None:
        """Map the ring of a packet socket, which its owner closes; raises OSError."""
        self._memory = mmap.mmap(tap.fileno(), FRAMES * FRAME_SIZE)
        self._next = 0

    def packets(self) -> Iterator[bytes]:
        """Yield what has come, from the IP header on; what was too long is cut.

        A frame is the kernel's until it sets the status, and again once we have reset it: so what
        is yielded is a copy, made in between.
        """
        memory = self._memory
        while True:
            at = self._next * FRAME_SIZE
            if not _STATUS.unpack_from(memory, at)[0] & _TP_STATUS_USER:
                return
            _length, captured, _mac, start = _LENGTHS.unpack_from(memory, at)
            packet = memory[at + start : at + start + captured]
            _STATUS.pack_into(memory, at, _TP_STATUS_KERNEL)
            self._next = (self._next + 1) % FRAMES
            yield packet

    def close(self) -> None:
        """Unmap the ring."""
        self._memory.close()
