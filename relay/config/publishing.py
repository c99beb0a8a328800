"""Which ports inside are to be reached from the host, and where there, as docker writes it; pure.

8080                   port 8080 inside, at 8080 of the host's loopback, 127.0.0.1 and ::1
8080:80                port 80 inside, at 8080
127.0.0.1:8080:80      at this address alone; also [::1]:8080:80
0.0.0.0::80            at a port that the host chooses
8000-8010:9000-9010    each port of a range at its counterpart
8080/tcp               TCP is all that is published
"""

import contextlib
import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address
from typing import Final, NamedTuple

from relay.addresses import MAX_PORT, is_ipv4

AUTO: Final = "auto"
"""What listens inside, at the host's loopback; nothing with strict and in mode allowlist."""
ON: Final = "on"
"""What listens inside, at the host's loopback, with strict and in mode allowlist too."""
OFF: Final = "off"
"""Only what is listed beside it."""

LOOPBACK: Final = ("127.0.0.1", "::1")

MOST: Final = 1000
"""Ports that may be listed; each takes a descriptor for each address."""

_DNS_PORT: Final = 53
_WRITE: Final = "write PORT, PORT:PORT or ADDRESS:PORT:PORT, that of the host first"
_RANGE: Final = r"([0-9]{1,5})(?:-([0-9]{1,5}))?"
_PARTS: Final = r"(?:(\[[^\]]*\]|[^:\[\]]*[.a-z*][^:\[\]]*):)?([0-9-]*)(?::([0-9-]+))?"


class Publication(NamedTuple):
    """A port inside, and where it is to be reached on the host."""

    port: int
    host_port: int
    """0: the host chooses."""
    addresses: tuple[str, ...] = LOOPBACK


class Published(NamedTuple):
    """What of a session is to be reached from the host."""

    mode: str
    """AUTO, ON or OFF."""
    asked: tuple[Publication, ...] = ()


def read(listed: str | Iterable[str]) -> Published:
    """Read what is listed: AUTO, ON or OFF, and single ports; raises ValueError."""
    mode, found = AUTO, list[Publication]()
    for entry in (listed,) if isinstance(listed, str) else listed:
        if entry in (AUTO, ON, OFF):
            mode = entry
        else:
            found += parse(entry)
    if len(found) > MOST:
        raise ValueError(f"{len(found)} ports are more than the {MOST} that may be published")
    taken: set[tuple[str, int]] = set()
    for each in found:
        for place in ((address, each.host_port) for address in each.addresses if each.host_port):
            if place in taken:
                raise ValueError(f"port {each.host_port} of the host is asked for twice")
            taken.add(place)
    return Published(mode, tuple(found))


def parse(text: str) -> list[Publication]:
    """Read one entry, which may be a range; raises ValueError with the entry and the next step."""
    ports, _slash, protocol = text.strip().partition("/")
    if protocol == "udp":
        raise ValueError(f"{text!r}: UDP does not come in; TCP does, which is {ports}")
    parts = re.fullmatch(_PARTS, ports)
    if protocol not in ("", "tcp") or parts is None:
        raise ValueError(f"{text!r}: {_WRITE}")
    host, outside, inside = parts.groups()
    if not outside and not (host and inside):
        raise ValueError(f"{text!r}: {_WRITE}")
    addresses = _addresses(host, text)
    inner = list(_range(inside or outside, text))
    outer = list(_range(outside, text)) if outside else [0] * len(inner)
    if len(outer) != len(inner):
        raise ValueError(f"{text!r}: the ranges differ in length, {len(outer)} and {len(inner)}")
    if _DNS_PORT in inner:
        raise ValueError(f"{text!r}: port {_DNS_PORT} inside is keepline's own name server")
    return [Publication(port, at, addresses) for at, port in zip(outer, inner, strict=True)]


def _addresses(host: str | None, text: str) -> tuple[str, ...]:
    """Return the addresses of the host; raises ValueError."""
    if host is None or host == "localhost":
        return LOOPBACK
    if is_ipv4(host):
        return (host,)
    if host.startswith("[") and "%" not in host:  # a scope takes an interface, too
        with contextlib.suppress(ValueError):
            return (str(IPv6Address(host[1:-1])),)
    raise ValueError(f"{text!r}: {host} is no address of the host, such as 127.0.0.1 or [::1]")


def _range(text: str, whole: str) -> Iterator[int]:
    """Yield the ports of PORT or FIRST-LAST; raises ValueError."""
    found = re.fullmatch(_RANGE, text)
    first, last = (int(each) for each in (found[1], found[2] or found[1])) if found else (0, 0)
    if not 0 < first <= last <= MAX_PORT:
        raise ValueError(f"{whole!r}: a port is a number from 1 to {MAX_PORT}, a range two of them")
    yield from range(first, last + 1)
