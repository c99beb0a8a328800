"""Where a program asks a proxy to connect it: hosts and ports as HTTP and SOCKS write them; pure.

What a C library would read as an address (127.1, 0x7f.0.0.1) is one here too, so that it is judged
as the address it is.
"""

import ipaddress
import re
from typing import Final

from relay.addresses import MAX_PORT, Endpoint, canonical, numbers_and_dots

LOOPBACK: Final = "127.0.0.1"

_LABEL: Final = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LONGEST_NAME: Final = 253
_PORT: Final = re.compile(r"[0-9]{1,5}")


class PlaceError(ValueError):
    """It is no place to connect to; the message is for people."""


class NoIPv6Error(PlaceError):
    """It is an address of IPv6, to which keepline never connects."""


def parse(text: str, default_port: int | None = None) -> Endpoint:
    """Read HOST:PORT, an authority of RFC 3986 section 3.2; raises PlaceError.

    The host is a canonical name, an IPv4 address, or `::1`. Without a default the port is required,
    as of CONNECT it is (RFC 9110 section 9.3.6).
    """
    if "@" in text:
        raise PlaceError("it has a user, which is no part of where to connect")
    host, port = _split(text)
    if port:
        return parse_host(host), parse_port(port)
    if default_port is None:
        raise PlaceError("it has no port: HOST:PORT is what CONNECT asks for")
    return parse_host(host), default_port


def _split(text: str) -> tuple[str, str]:
    if text.startswith("["):
        address, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise PlaceError("its brackets hold no address")
        if ":" not in address:
            raise PlaceError("what is in brackets is no IPv6 address")
        return address, rest[1:]
    if text.count(":") > 1:
        raise PlaceError("an IPv6 address stands in brackets")
    host, _colon, port = text.partition(":")
    return host, port


def parse_port(text: str) -> int:
    """Read a port that can be dialled; raises PlaceError."""
    if not _PORT.fullmatch(text):
        raise PlaceError(f"its port is no number from 1 to {MAX_PORT}")
    return checked_port(int(text))


def checked_port(port: int) -> int:
    """Return a port that can be dialled; raises PlaceError for any other number."""
    if not 1 <= port <= MAX_PORT:
        raise PlaceError(f"its port is no number from 1 to {MAX_PORT}")
    return port


def parse_host(text: str) -> str:
    """Read a name or an address; raises PlaceError.

    `localhost`, and what is below it, is the loopback address, RFC 6761 section 6.3: nobody is
    asked.
    """
    if ":" in text:
        return _ipv6(text)
    if not text.isascii():
        raise PlaceError("its name is not in ASCII: write it as IDNA does, xn--")
    host = canonical(text)
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        address = numbers_and_dots(host)
        if address is None:
            raise PlaceError("its host looks like an IPv4 address, and is none")
        return address
    if len(host) > _LONGEST_NAME or not _NAME.fullmatch(host):
        raise PlaceError("its host is no name that DNS has, and no address")
    return LOOPBACK if host == "localhost" or host.endswith(".localhost") else host


def _ipv6(text: str) -> str:
    """Return `::1`, or the IPv4 address that is within one of IPv6; raises PlaceError."""
    if "%" in text:
        raise PlaceError("its address has a zone, which is known to its own host alone")
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        raise PlaceError("its host is no IPv6 address") from None
    return of_ipv6(address.packed)


def of_ipv6(packed: bytes) -> str:
    """Return what 16 octets of an address mean, as parse_host() does; raises NoIPv6Error."""
    address = ipaddress.IPv6Address(packed)
    if address.ipv4_mapped is not None:  # RFC 4291 section 2.5.5.2: a socket of IPv6 speaks IPv4
        return str(address.ipv4_mapped)
    if address.is_loopback:
        return "::1"
    if address.is_unspecified:
        return LOOPBACK
    raise NoIPv6Error("it is an IPv6 address, and keepline sends no IPv6: use the name, or IPv4")
