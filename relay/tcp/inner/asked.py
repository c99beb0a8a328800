"""Which names the first bytes of a connection ask for: TLS at any port, HTTP at port 80; pure.

What cannot be read with certainty is said to be so: a server might read it in another way.
"""

import re
from dataclasses import dataclass, field
from typing import Final, TypeAlias

HTTP_PORT: Final = 80

_NAME: Final = re.compile(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_MOST_CHARACTERS: Final = 254


@dataclass(frozen=True, slots=True)
class Names:
    """The names that are asked for, in lower case and without a final dot; there may be none."""

    names: tuple[str, ...] = ()
    hello: int = field(default=0, compare=False)
    """Bytes of the ClientHello that they are in, its records included; 0 if it is none."""
    is_early: bool = field(default=False, compare=False)
    """Whether it announces early data."""


@dataclass(frozen=True, slots=True)
class Incomplete:
    """More has to come."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """It is TLS, or HTTP at its port, and cannot be read."""

    why: str


@dataclass(frozen=True, slots=True)
class Other:
    """It is neither, and asks for nothing that could be judged."""


Asked: TypeAlias = Names | Incomplete | Unreadable | Other


def host_name(data: bytes) -> str | None:
    """Return a host name or an IPv4 address, as names are compared; None if it is neither."""
    text = data.decode("latin-1").lower()
    if len(text) > _MOST_CHARACTERS or not _NAME.fullmatch(text):
        return None
    return text.removesuffix(".")
