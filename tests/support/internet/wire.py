"""The eye on a link, and the hand that injects: scapy's packets, from and to one interface.

    with Capture(internet.access) as capture:
        ...
        probes = capture.packets(lambda packet: "TCP" in packet)

A capture sees both directions, at the link's left end unless told otherwise. `packets()` first
sends a marker frame from the other end and waits until it has seen it, so whatever was on the
link before is in the list. scapy is imported only when packets are looked at: it takes its time.
"""

import errno
import os
import select
import socket
import struct
import threading
from collections.abc import Callable
from typing import Any, Final, Self

from .links import Interface, Link

# Of linux/if_packet.h and asm/socket.h; the socket module lacks them.
_SOL_PACKET: Final = 263
_PACKET_STATISTICS: Final = 6
_SO_TIMESTAMPNS: Final = 35

_ALL_PROTOCOLS: Final = 3  # ETH_P_ALL
_MARKER_TYPE: Final = b"\x88\xb5"  # for local experiments, IEEE 802
_BROADCAST: Final = b"\xff" * 6
_LARGEST: Final = 1 << 17
_PATIENCE: Final = 5.0


class Capture:
    """All frames on a link while the with statement lasts."""

    def __init__(self, link: Link, end: Interface | None = None) -> None:
        self._end = end or link.left
        self._other = link.other(self._end)
        self._frames: list[tuple[bytes, float]] = []
        self._marker = os.urandom(16)
        self._marker_seen = threading.Semaphore(0)
        self._drained = threading.Semaphore(0)

    def __enter__(self) -> Self:
        """Start; every frame from now on is seen."""
        self._socket = _open(self._end)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._orders_read, self._orders_write = os.pipe()
        self._reader = threading.Thread(target=self._read, name="capture")
        self._reader.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Stop; what the kernel has queued by now is read first."""
        os.close(self._orders_write)
        self._reader.join()
        os.close(self._orders_read)
        self._socket.close()

    def packets(self, wanted: Callable[[Any], bool] = bool) -> list[Any]:
        """Return the packets so far, as scapy sees them, `time` being when the kernel did."""
        from scapy.layers import dns, inet, inet6, l2  # noqa: F401, importing them teaches scapy

        self._flush()
        decoded = []
        for frame, time in tuple(self._frames):
            packet = l2.Ether(frame)
            packet.time = time
            if wanted(packet):
                decoded.append(packet)
        return decoded

    def frames(self) -> list[bytes]:
        """Return the frames so far, as bytes."""
        self._flush()
        return [frame for frame, _time in tuple(self._frames)]

    def _flush(self) -> None:
        """Wait until what was sent before has been read."""
        if not self._reader.is_alive():
            return
        if _has_carrier(self._end):
            inject(self._other, _BROADCAST + bytes(6) + _MARKER_TYPE + self._marker)
            self._wait_for(self._marker_seen)
        os.write(self._orders_write, b"d")
        self._wait_for(self._drained)
        _packets, dropped = struct.unpack(
            "II", self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        )
        if dropped:
            raise BufferError(f"the capture has missed {dropped} frames")

    def _wait_for(self, happened: threading.Semaphore) -> None:
        if not happened.acquire(timeout=_PATIENCE):
            raise TimeoutError("the capture does not see its marker")

    def _read(self) -> None:
        """Read frames until the orders end; each is to read all that is queued, and say so."""
        watched = select.poll()
        watched.register(self._socket, select.POLLIN)
        watched.register(self._orders_read, select.POLLIN)
        while True:
            ready = dict(watched.poll())
            orders = os.read(self._orders_read, 1) if self._orders_read in ready else None
            while self._read_one():
                pass
            if orders:
                self._drained.release()
            elif orders is not None:
                return

    def _read_one(self) -> bool:
        """Read one frame; False if there is none."""
        try:
            frame, ancillary, _flags, _from = self._socket.recvmsg(
                _LARGEST, 64, socket.MSG_DONTWAIT
            )
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.ENETDOWN:  # told once when the interface goes down
                raise
            return True
        if frame.endswith(self._marker):
            self._marker_seen.release()
        else:
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            self._frames.append((frame, seconds + nanoseconds / 1e9))
        return True


def inject(interface: Interface, packet: Any) -> None:
    """Send a frame, of scapy or of bytes, from `interface` to the other end of its link."""
    with _open(interface) as sender:
        sender.send(bytes(packet))


def forged_reset(packet: Any) -> Any:
    """Forge the RST that the peer of this captured TCP packet would send to its sender.

    The sequence number is what the sender expects next, or it would be challenged, RFC 5961.
    """
    from scapy.layers.inet import IP, TCP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether

    network = IP if IP in packet else IPv6
    tcp = packet[TCP]
    return (
        Ether(src=packet.dst, dst=packet.src)
        / network(src=packet[network].dst, dst=packet[network].src)
        / TCP(sport=tcp.dport, dport=tcp.sport, flags="R", seq=tcp.ack)
    )


def _open(interface: Interface) -> socket.socket:
    with interface.host:
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # deaf until it is bound
    opened.bind((interface.name, _ALL_PROTOCOLS))
    return opened


def _has_carrier(interface: Interface) -> bool:
    with interface.host.netlink() as netlink:
        return bool(netlink.link("get", index=interface.index)[0].get_attr("IFLA_CARRIER"))
