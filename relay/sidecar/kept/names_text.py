"""The file of names and their addresses: a line for each, the latest of a name or address counts.

Whoever has written the file, what is read from it is no more than this: a dotted address, and a
name in printable ASCII that is canonical. A last line that was cut short is left out. Pure.
"""

from collections.abc import Iterable
from typing import Final

from relay.addresses import canonical, is_ipv4

HEADER: Final = b"keepline names 1\n"
"""The first line; a file with another one is of another version, or not keepline's."""

_LONGEST: Final = 1024
"""Characters of a name: 255 bytes, each of which may be written in four."""


def line(address: str, name: str) -> bytes:
    """Return the line of a name; raises ValueError for a name that none is written of."""
    if not _is_name(name):
        raise ValueError("a name that is no canonical text")
    return f"{address} {name}\n".encode("ascii")


def written(names: Iterable[tuple[str, str]]) -> bytes:
    """Return a file of addresses and their names, the oldest first."""
    return HEADER + b"".join(line(*each) for each in names)


def whole(data: bytes) -> int:
    """Return how many bytes of a file are whole lines; 0 if it is none of these files."""
    return data.rfind(b"\n") + 1 if data.startswith(HEADER) else 0


def read(data: bytes) -> list[tuple[str, str]]:
    """Return addresses and their names, the oldest first; what is no such line is left out."""
    names: dict[str, str] = {}
    addresses: dict[str, str] = {}
    for each in data[len(HEADER) : whole(data)].split(b"\n"):
        address, _, name = each.decode("latin-1").partition(" ")
        if not is_ipv4(address) or not _is_name(name):
            continue
        displaced = names.pop(address, None)
        before = addresses.pop(name, None)
        if displaced is not None:
            addresses.pop(displaced, None)
        if before is not None:
            names.pop(before, None)
        names[address], addresses[name] = name, address
    return list(names.items())


def _is_name(text: str) -> bool:
    """Return whether a name may stand in the file: else another line could be made of it."""
    if not 0 < len(text) <= _LONGEST or canonical(text) != text:
        return False
    return all("!" <= character <= "~" for character in text)
