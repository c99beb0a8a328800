"""NO_PROXY: destinations that are dialled directly, as curl reads it; pure.

Entries are separated by commas or white space. A name is that host and all below it, with a leading
dot or without, with a trailing one or without; an address is itself; ADDRESS/LENGTH a network, for
hosts that are written as addresses. `*` is everything. Beyond curl, as in Go and Python, `*.name`
stands for `.name`, and HOST:PORT for that port alone. What is none of these matches nothing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Final, NamedTuple

from relay.addresses import (
    Destination,
    canonical,
    ipv4_number,
    is_ipv4,
    is_loopback,
    split_port,
)

_SEPARATOR: Final = re.compile(r"[,\s]+")


class _Named(NamedTuple):
    """A name and all below it."""

    name: str
    port: int | None


class _Network(NamedTuple):
    """Addresses."""

    mask: int
    number: int
    port: int | None


@dataclass(frozen=True)
class Bypass:
    """What no proxy is asked for."""

    _names: tuple[_Named, ...] = ()
    _networks: tuple[_Network, ...] = ()
    is_everything: bool = False

    @classmethod
    def parse(cls, text: str) -> "Bypass":
        """Read a list; an entry that cannot be read is passed over, as by every program."""
        written = [each for each in _SEPARATOR.split(text) if each]
        entries = [entry for each in written if (entry := _entry(each)) is not None]
        return cls(
            tuple(entry for entry in entries if isinstance(entry, _Named)),
            tuple(entry for entry in entries if isinstance(entry, _Network)),
            is_everything="*" in written,
        )

    def covers(self, destination: Destination) -> bool:
        """Return whether it is dialled directly; the host's own loopback always is."""
        return self.is_everything or any(
            port in {None, destination.port} for port in self._ports(destination.host)
        )

    def covers_all_of(self, name: str) -> bool:
        """Return whether a name is dialled directly at every port."""
        return self.is_everything or None in self._ports(name)

    def _ports(self, host: str) -> Iterator[int | None]:
        """Yield the ports at which a host is dialled directly; None for all."""
        if is_ipv4(host):
            number = ipv4_number(host)
            if is_loopback(host):
                yield None
            yield from (each.port for each in self._networks if number & each.mask == each.number)
            return
        if host == "localhost" or host.endswith(".localhost"):
            yield None
        for name, port in self._names:
            if host == name or host.endswith(f".{name}"):
                yield port


def _entry(text: str) -> _Named | _Network | None:
    """Read one entry; None for what is none, an IPv6 address or network among them."""
    address, slash, length = text.partition("/")
    try:
        host, port = split_port(address)
        if is_ipv4(host):
            network = IPv4Network(f"{host}/{length}" if slash else host, strict=False)
            return _Network(int(network.netmask), int(network.network_address), port)
    except ValueError:
        return None
    name = canonical(host.removeprefix("*").removeprefix("."))
    return _Named(name, port) if name and not slash else None
