"""Synthetic addresses: each stands for one name, and is found by its hash; pure.

So a name has the same address in each session, but for the rare two whose hashes clash: what a
program keeps beside an address (ssh's known_hosts) is true the next time. When all are assigned,
the one used longest ago goes to another name. The first 256 addresses are the namespace's own.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import chain
from typing import Final, NamedTuple

from relay.addresses import DEFAULT_POOL, canonical, ipv4_number, ipv4_text, parse_pool

RESERVED: Final = 256

KEPT: Final = 3600.0
"""Seconds after which an address may go to another name. It is the longest TTL that a program is
told, so that one that caches answers does not reach another host by it."""

_TURNS: Final = 16
"""Hashes that are tried before neighbours are."""


class PoolExhaustedError(Exception):
    """Every synthetic address stands for a name that is in use."""


class Assignment(NamedTuple):
    """The address of a name."""

    address: str
    is_new: bool
    """Whether the name had none until now."""
    displaced: str = ""
    """The name that had it before."""


@dataclass(slots=True)
class _Assigned:
    name: str
    number: int
    """The address."""
    used: float
    """When it was last handed out or dialled, or seen to have a connection."""


def _nobody() -> Collection[str]:
    return ()


def _unheard(_address: str, _name: str) -> None:
    """Hear of a name's address."""


class SyntheticAddresses:
    """The session's names and their addresses, both ways; the time is an argument."""

    def __init__(self, pool: IPv4Network | None = None, reserved: int = RESERVED) -> None:
        """Take addresses from a pool; without one, none is synthetic."""
        first = int(pool.network_address) if pool is not None else 0
        size = pool.num_addresses if pool is not None else 0
        self._pool = range(first, first + size)
        self._free = self._pool[reserved:]
        self._by_name: OrderedDict[str, _Assigned] = OrderedDict()
        """That which was used longest ago comes first."""
        self._by_number: dict[int, _Assigned] = {}
        self.live: Callable[[], Collection[str]] = _nobody
        """Returns the addresses that connections have now; asked only when all are assigned."""
        self.on_assigned: Callable[[str, str], None] = _unheard
        """Called with each address and its name, before anybody else hears of it."""

    @classmethod
    def of(cls, pool: str = DEFAULT_POOL) -> "SyntheticAddresses":
        """Take addresses from a pool, ADDRESS/LENGTH."""
        return cls(parse_pool(pool))

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield each address and its name, that which was used longest ago first."""
        return ((ipv4_text(each.number), each.name) for each in self._by_name.values())

    def __len__(self) -> int:
        """Return how many names have an address."""
        return len(self._by_name)

    def assign(self, name: str, now: float) -> Assignment:
        """Return the name's address, which counts as used.

        Raises PoolExhaustedError where all stand for names that were used within the last hour,
        or have a connection: a program would reach another host by what it knows.
        """
        name = canonical(name)
        known = self._by_name.get(name)
        if known is not None:
            self._use(known, now)
            return Assignment(ipv4_text(known.number), is_new=False)
        displaced = self._displace(now) if len(self) == len(self._free) else None
        number = self._place(name, displaced)
        self._by_name[name] = self._by_number[number] = _Assigned(name, number, now)
        address = ipv4_text(number)
        self.on_assigned(address, name)
        return Assignment(address, is_new=True, displaced=displaced.name if displaced else "")

    def restore(self, name: str, address: str, now: float) -> bool:
        """Assign an address that a name had in an earlier run; return whether that can be."""
        name, number = canonical(name), ipv4_number(address)
        if name in self._by_name or number in self._by_number or number not in self._free:
            return False
        self._by_name[name] = self._by_number[number] = _Assigned(name, number, now)
        return True

    def name_of(self, address: str) -> str | None:
        """Return the name that the address stands for, None if it stands for none."""
        assigned = self._by_number.get(ipv4_number(address))
        return assigned.name if assigned is not None else None

    def dialled(self, address: str, now: float) -> str | None:
        """Return the same of an address that a program connects to, which counts as used."""
        assigned = self._by_number.get(ipv4_number(address))
        if assigned is None:
            return None
        self._use(assigned, now)
        return assigned.name

    def covers(self, address: str) -> bool:
        """Return whether a dotted IPv4 address is in the pool, assigned or not."""
        return ipv4_number(address) in self._pool

    def _use(self, assigned: _Assigned, now: float) -> None:
        assigned.used = now
        self._by_name.move_to_end(assigned.name)

    def _displace(self, now: float) -> _Assigned:
        """Take the address from the name that was used longest ago; raises PoolExhaustedError.

        A connection counts as use, so that those that live are looked at once an hour.
        """
        live = self.live()
        while True:
            oldest = next(iter(self._by_name.values()), None)
            if oldest is None or now - oldest.used < KEPT:
                raise PoolExhaustedError(
                    f"all {len(self._free)} synthetic addresses stand for names used within the"
                    " last hour: set a larger dns_pool, such as 10.0.0.0/8"
                )
            if ipv4_text(oldest.number) not in live:
                del self._by_name[oldest.name], self._by_number[oldest.number]
                return oldest
            self._use(oldest, now)

    def _place(self, name: str, displaced: _Assigned | None) -> int:
        """Return the first free one of the name's addresses; if none is, what was displaced."""
        for number in self._candidates(name):
            if number not in self._by_number:
                return number
        if displaced is not None:
            return displaced.number
        at = self._free.index(number)
        neighbours = chain(self._free[at:], self._free[:at])
        return next(number for number in neighbours if number not in self._by_number)

    def _candidates(self, name: str) -> Iterator[int]:
        """Yield the name's addresses: a fixed hash, as it has to be the same in each session."""
        for turn in range(_TURNS):
            digest = hashlib.blake2b(name.encode(), digest_size=8, salt=bytes([turn])).digest()
            yield self._free[int.from_bytes(digest, "big") % len(self._free)]
