"""Synthetic addresses: one per name, for the whole session; pure.

The range is 198.18.0.0/15 (RFC 2544, benchmarking), in which no real destination is. Its first 256
addresses are the namespace's own.
"""

from relay.addresses import canonical

RESERVED = 256
POOL_SIZE = (1 << 17) - RESERVED


class PoolExhaustedError(Exception):
    """Every synthetic address stands for a name already."""


class SyntheticAddresses:
    """The session's names and their addresses, both ways."""

    def __init__(self) -> None:
        self._addresses: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def __len__(self) -> int:
        """Return how many names have an address."""
        return len(self._addresses)

    def address_for(self, name: str) -> str:
        """Return the name's address, a new one if it has none yet.

        Raises PoolExhaustedError when none is left: an address never passes from one name to
        another, because the program may keep it for as long as it runs.
        """
        name = canonical(name)
        address = self._addresses.get(name)
        return address if address is not None else self._assign(name)

    def name_of(self, address: str) -> str | None:
        """Return the name that the address stands for, None if it stands for none."""
        return self._names.get(address)

    @staticmethod
    def covers(address: str) -> bool:
        """Return whether a dotted IPv4 address is in the synthetic range, assigned or not."""
        return address.startswith(("198.18.", "198.19."))

    def _assign(self, name: str) -> str:
        if len(self) == POOL_SIZE:
            raise PoolExhaustedError(f"all {POOL_SIZE} synthetic addresses are in use")
        number = RESERVED + len(self)
        address = f"198.{18 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
        self._addresses[name] = address
        self._names[address] = name
        return address
