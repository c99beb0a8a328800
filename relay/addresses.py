"""Hosts, ports and IPv4 addresses: the one place that reads, writes and judges them; pure."""

import re
from functools import lru_cache
from ipaddress import IPv4Network
from typing import Final, NamedTuple, TypeAlias

Endpoint: TypeAlias = tuple[str, int]
"""An IPv4 address and a port, as the socket module has them."""

MAX_PORT: Final = 65535
DNS_PORT: Final = 53

_OCTET: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4: Final = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_PORT: Final = r"[0-9]{1,5}"
_MOST_CHARACTERS: Final = 253
_LABEL: Final = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = rf"{_LABEL}(\.{_LABEL})*"
_OF_LOOPBACK: Final = ("0.0.0.0", "::1")  # noqa: S104 - compared, not bound
_BROADCAST: Final = "255.255.255.255"
_LONGEST_PREFIX: Final = 22

HOST_NAME: Final = "host.internal"
"""By which programs know the host, whose loopback that is."""

DEFAULT_POOL: Final = "198.18.0.0/15"
"""RFC 2544's range for benchmarks, in which the internet has no host."""

_PRIVATE: Final = tuple(
    map(
        IPv4Network,
        (
            "10.0.0.0/8",
            "100.64.0.0/10",
            "172.16.0.0/12",
            "192.168.0.0/16",
            DEFAULT_POOL,
            "240.0.0.0/4",
        ),
    )
)
_C_NUMBER: Final = r"0[xX][0-9a-fA-F]{1,8}|0[0-7]{0,11}|[1-9][0-9]{0,9}"
_NUMBER: Final = r"[0-9]+|0x[0-9a-f]*"


class Destination(NamedTuple):
    """Where a connection goes."""

    host: str
    """A canonical name, or a dotted IPv4 address where the program used one."""
    port: int

    @property
    def name(self) -> str | None:
        """The name to look up; None if the host is an address."""
        return None if is_ipv4(self.host) else self.host

    def __str__(self) -> str:
        """Return HOST:PORT."""
        return f"{self.host}:{self.port}"

    def without_port(self, default: int) -> str:
        """Return HOST:PORT, the port only if it is another than `default`."""
        return self.host if self.port == default else str(self)


def canonical(name: str) -> str:
    r"""Return a name as it is compared and recorded: in lower case, without its trailing dot.

    An escaped dot at the end (RFC 4343 section 2.1: `a\.`) belongs to the last label and stays.
    """
    name = name.lower()
    if not name.endswith("."):
        return name
    stem = name[:-1]
    escaped = (len(stem) - len(stem.rstrip("\\"))) % 2
    return name if escaped else stem


@lru_cache(maxsize=4096)
def is_ipv4(text: str) -> bool:
    """Return whether this is an IPv4 address of four decimal numbers, as inet_pton(3) reads it."""
    return _IPV4.fullmatch(text) is not None


@lru_cache(maxsize=1024)
def ipv4_number(address: str) -> int:
    """Return a dotted address as a number of 32 bits."""
    first, second, third, fourth = map(int, address.split("."))
    return first << 24 | second << 16 | third << 8 | fourth


def numbers_and_dots(text: str) -> str | None:
    """Return the dotted address of a text that inet_aton(3) reads whole, None if it does not.

    There may be one to four numbers, decimal, octal or hexadecimal; the last one fills the rest.
    """
    parts = text.split(".")
    if len(parts) > 4 or not all(re.fullmatch(_C_NUMBER, part) for part in parts):
        return None
    *first, last = map(_c_number, parts)
    if any(number > 255 for number in first) or last >= 1 << 8 * (4 - len(first)):
        return None
    return ipv4_text(sum(number << 24 - 8 * at for at, number in enumerate(first)) + last)


def _c_number(text: str) -> int:
    if text[:2] in {"0x", "0X"}:
        return int(text, 16)
    return int(text, 8 if text.startswith("0") else 10)


def ipv4_text(number: int) -> str:
    """Return a number of 32 bits as a dotted address."""
    return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def ipv4_network(text: str) -> IPv4Network:
    """Read an address or ADDRESS/LENGTH without host bits; raises ValueError."""
    return IPv4Network(text)


def is_loopback(address: str) -> bool:
    """Return whether an address means the host itself: 127.0.0.0/8, 0.0.0.0 on Linux, or ::1."""
    return address.startswith("127.") or address in _OF_LOOPBACK


def is_dialable(address: str) -> bool:
    """Return whether an IPv4 address may be another host's: no loopback, multicast or broadcast.

    The namespace has a loopback of its own; the host's is not the program's to reach. 240.0.0.0/4
    is reserved (RFC 1112), but Linux connects to it, and some networks have hosts there.
    """
    if is_loopback(address) or address == _BROADCAST:
        return False
    return not 224 <= int(address.partition(".")[0]) < 240


def parse_pool(text: str) -> IPv4Network:
    """Read a network whose addresses may stand for names, ADDRESS/LENGTH; raises ValueError.

    It has to be one in which the internet has no host, and has room for a session's names.
    """
    try:
        pool = IPv4Network(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an IPv4 network, ADDRESS/LENGTH") from None
    if not any(pool.subnet_of(private) for private in _PRIVATE):
        raise ValueError(f"{text!r} is in none of {', '.join(map(str, _PRIVATE))}")
    if pool.prefixlen > _LONGEST_PREFIX:
        raise ValueError(f"{text!r} is too small: its length may be {_LONGEST_PREFIX} at most")
    if str(pool.broadcast_address) == _BROADCAST:
        raise ValueError(f"{text!r} has {_BROADCAST} in it, to which nobody can connect")
    return pool


def split_port(text: str, *, lowest: int = 1) -> tuple[str, int | None]:
    """Split HOST[:PORT]; the port is None if there is no colon.

    Raises ValueError unless what follows the first colon is a number from `lowest` to MAX_PORT.
    The host is not looked at.
    """
    host, colon, port = text.partition(":")
    if not colon:
        return host, None
    if not re.fullmatch(_PORT, port) or not lowest <= int(port) <= MAX_PORT:
        raise ValueError(f"the port is no number from {lowest} to {MAX_PORT}")
    return host, int(port)


def parse_destination(text: str, default_port: int) -> Destination:
    """Read HOST[:PORT] of a server elsewhere.

    Raises ValueError with the end of a sentence that begins with `text`, which is not in it.
    """
    if text.count(":") > 1:
        raise ValueError("is an IPv6 address, and keepline sends no IPv6")
    try:
        written, port = split_port(text)
    except ValueError:
        raise ValueError(f"has a port that is no number from 1 to {MAX_PORT}") from None
    host = canonical(written)
    if len(host) > _MOST_CHARACTERS or not (written.isascii() and re.fullmatch(_NAME, host)):
        raise ValueError("has no host name or IPv4 address in ASCII")
    if _means_this_host(host):
        raise ValueError("is on loopback, which the gateway does not serve")
    return Destination(host, default_port if port is None else port)


def _means_this_host(host: str) -> bool:
    """Judge an address or a name, RFC 6761 section 6.3; raises ValueError for no such address."""
    if not re.fullmatch(_NUMBER, host.rpartition(".")[2]):
        return host == "localhost" or host.endswith(".localhost")
    if not is_ipv4(host):  # such as 127.1 or 0x7f.0.0.1, which C libraries read as addresses
        raise ValueError("has an IPv4 address that is not four decimal numbers")
    return host.startswith(("127.", "0."))
