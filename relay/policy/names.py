"""Names as they are compared: labels of bytes in lower case, as DNS has them on the wire; pure.

RFC 1035 section 5.1 has the escapes of the text form, a backslash before three digits or a sign;
RFC 4343 has the comparison: ASCII letters alone are folded. One reader serves the rules and what
is judged by them.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

_PIECE: Final = re.compile(r"\\([0-9]{3})|\\(.)|([^\\.]+)|(\.)|(\\)", re.DOTALL)
_MOST_OCTETS: Final = 255
"""Of a name on the wire, its root label included (RFC 1035 section 2.3.4)."""
MOST_OCTETS_OF_LABEL: Final = 63


def labels(text: str) -> tuple[bytes, ...]:
    r"""Return the labels of a name in text form, without the root's.

    Any text is read: a label may be empty or too long (is_well_formed() tells), and a backslash
    that escapes nothing stands for itself. Beyond ASCII, a character is its UTF-8 octets.
    """
    if "\\" not in text:
        found = text.encode("utf-8", "surrogatepass").lower().split(b".")
    else:
        found = _unescaped(text)
    if len(found) > 1 and not found[-1]:
        del found[-1]
    return tuple(found)


def _unescaped(text: str) -> list[bytes]:
    found = [bytearray()]
    for number, escaped, plain, dot, lone in _PIECE.findall(text):
        if dot:
            found.append(bytearray())
        elif number and int(number) < 256:
            found[-1].append(int(number))
        else:
            octets = f"{number}{escaped}{plain}{lone}".encode("utf-8", "surrogatepass")
            found[-1] += octets
    return [bytes(label).lower() for label in found]


def is_well_formed(name: tuple[bytes, ...]) -> bool:
    """Return whether DNS can carry a name: no label empty or above 63 octets, 255 octets in all."""
    octets = sum(map(len, name)) + len(name) + 1
    return octets <= _MOST_OCTETS and all(0 < len(label) <= MOST_OCTETS_OF_LABEL for label in name)


class Key(NamedTuple):
    """A name in wire format without the root's label: a dot in a label is none between two.

    What DNS cannot carry is equal to no rule, but may be below one.
    """

    wire: bytes
    starts: tuple[int, ...]
    """Where its labels start."""

    def above(self, depth: int) -> Iterator[bytes]:
        """Return the names that it is below, the longest first, of `depth` labels at most."""
        wire = self.wire
        for start in self.starts[max(1, len(self.starts) - depth) :]:
            yield wire[start:]


NO_NAME: Final = Key(b"", ())


def key(text: str) -> Key:
    """Return the form in which a name is compared."""
    return _known_key(text) if len(text) <= _MOST_CHARACTERS else _key(text)


def _key(text: str) -> Key:
    found = labels(text)
    starts, end = [], 0
    for label in found:
        starts.append(end)
        end += len(label) + 1
    wire = b"".join([bytes((min(len(label), 255),)) + label for label in found])
    return Key(wire, tuple(starts))


_MOST_CHARACTERS: Final = 1012
"""Of a name whose octets are all escaped."""

_known_key = lru_cache(maxsize=1024)(_key)
