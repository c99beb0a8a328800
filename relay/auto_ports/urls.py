"""Which port of this machine's loopback a text leads to: a URL, or HOST:PORT; pure.

RFC 3986 section 3.2. What is not understood leads nowhere.
"""

import re
from collections.abc import Iterator
from typing import Final

from relay.addresses import HOST_NAME, MAX_PORT, is_ipv4, is_loopback

HOSTS: Final = ("localhost", "127.", "::1", "0.0.0.0", "[::]", ".internal")  # noqa: S104 - a text
"""What every text that leads to this machine has in it, one of these."""

LONGEST: Final = 4096
"""Characters of a text that is looked at."""

_NAMES: Final = frozenset({"localhost", HOST_NAME})
_ANY: Final = frozenset({"0.0.0.0", "::", "::1", "::ffff:127.0.0.1"})  # noqa: S104 - as above

_SCHEMES: Final = {
    "amqp": 5672,
    "amqps": 5671,
    "http": 80,
    "https": 443,
    "mariadb": 3306,
    "memcached": 11211,
    "mongodb": 27017,
    "mysql": 3306,
    "nats": 4222,
    "postgres": 5432,
    "postgresql": 5432,
    "redis": 6379,
    "rediss": 6379,
    "socks": 1080,
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
    "valkey": 6379,
    "ws": 80,
    "wss": 443,
}
"""Ports that a URL need not say: IANA's, and those that the programs have for a default."""

_SCHEME: Final = r"(?i:([a-z][a-z0-9.-]{0,30})(?:\+[a-z0-9.-]{1,30})?://)"
_HOST: Final = r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:]*)(?::([0-9]{1,5})?)?"
_WITHIN: Final = r"(?i:(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,60}://[^\s\"'<>|\\^`,]+)"


def port_of(text: str, default: int | None = None) -> int | None:
    """Return the port of this machine that a URL or HOST[:PORT] leads to, None if it does not.

    `default` is that of a text without a scheme.
    """
    text = text.strip()[:LONGEST]
    scheme = re.match(_SCHEME, text)
    if scheme is not None:
        default = _SCHEMES.get(scheme[1].lower())
    authority = re.split(r"[/?#]", text[scheme.end() :] if scheme else text, maxsplit=1)[0]
    found = re.fullmatch(_HOST, authority.rpartition("@")[2])
    if found is None or not _is_this_machine(found[1]):
        return None
    port = int(found[2]) if found[2] else default
    return port if port is not None and 0 < port <= MAX_PORT else None


def ports_within(text: str) -> Iterator[int]:
    """Yield the ports to which the URLs within a text lead, such as an argument of a program."""
    for url in re.findall(_WITHIN, text[:LONGEST]):
        if (port := port_of(url)) is not None:
            yield port


def _is_this_machine(host: str) -> bool:
    host = host.strip("[]").lower().removesuffix(".")
    if is_ipv4(host):
        return is_loopback(host) or host in _ANY
    return host in _NAMES or host in _ANY or host.endswith(".localhost")  # RFC 6761 section 6.3
