"""Ways by questions to name servers, as bytes: no resolver of libc rewrites them."""

import contextlib
import socket
import struct
from pathlib import Path
from typing import Any, Final

from .met import attempt

_TYPES: Final = {"A": 1, "NS": 2, "CNAME": 5, "PTR": 12, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33,
                 "HTTPS": 65, "ANY": 255}  # fmt: skip


def server() -> str:
    """Return the name server of resolv.conf."""
    for line in Path("/etc/resolv.conf").read_text().splitlines():
        if line.startswith("nameserver"):
            return line.split()[1]
    raise OSError("no name server")


def wire(*labels: bytes) -> bytes:
    """Write a name, RFC 1035 section 3.1."""
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def ask(
    name: bytes, kind: str = "A", *, to: str = "", over: str = "udp", more: bytes = b""
) -> None:
    """Ask a question, and wait for an answer; raises OSError."""
    count = 1 + (1 if more else 0)
    question = struct.pack("!6H", 77, 0x0100, count, 0, 0, 0) + name
    question += struct.pack("!HH", _TYPES[kind], 1) + more
    address = (to or server(), 53)
    if over == "udp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(2)
            asker.sendto(question, address)
            answer = asker.recv(4096)
    else:
        with socket.create_connection(address, 2) as asker:
            asker.sendall(struct.pack("!H", len(question)) + question)
            answer = asker.recv(4096)[2:]
    code = answer[3] & 15 if len(answer) > 3 else 0
    if code:
        raise OSError(f"rcode {code}")


def denied(facts: Any) -> None:
    """Ask for denied names, written in the ways of the wire."""
    token = facts.token.encode()
    for labels in facts.spellings:
        with attempt():
            ask(wire(*(token if label == "TOKEN" else label.encode("latin1") for label in labels)))


def kinds(facts: Any) -> None:
    """Ask for a denied name by each type."""
    for kind in _TYPES:
        with attempt():
            ask(wire(facts.token.encode(), b"denied", b"test"), kind)


def over_tcp(facts: Any) -> None:
    """Ask for a denied name over TCP, and together with an allowed one."""
    name = wire(facts.token.encode(), b"denied", b"test")
    with attempt():
        ask(name, over="tcp")
    with attempt():
        ask(wire(b"v4", b"test"), more=name + struct.pack("!HH", 1, 1))


def elsewhere(facts: Any) -> None:
    """Ask other name servers than that of resolv.conf."""
    name = wire(facts.token.encode(), b"denied", b"test")
    for to in facts.resolvers:
        for over in ("udp", "tcp"):
            with attempt():
                ask(name, to=to, over=over)


def by_libc(facts: Any) -> None:
    """Look denied names up as programs do."""
    for name in (f"{facts.token}.denied.test", f"{facts.token}.denied.test.",
                 f"{facts.token}.DENIED.Test"):  # fmt: skip
        with attempt(), contextlib.suppress(UnicodeError):
            socket.getaddrinfo(name, 80)


def channel(facts: Any) -> None:
    """Carry data out by questions for names that no rule allows."""
    for kind in ("TXT", "A", "MX", "HTTPS"):
        with attempt():
            ask(wire(facts.token.encode(), b"other", b"test"), kind)
