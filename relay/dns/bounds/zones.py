"""Whose a name is: the zone for which its questions are counted; pure.

It is the name's last two labels, which is about what somebody registers. Where registries sell
below two labels (co.uk), strangers share a zone, and the bounds of one; nobody has a bound of their
own by using labels below their zone.
"""

from functools import lru_cache
from typing import Final

from relay.policy.names import labels

OTHERS: Final = "other zones"
"""Stands for all zones for which there is no room in a table; no name has a space in it."""

LABELS: Final = 2


@lru_cache(maxsize=4096)
def zone_of(name: str) -> str:
    r"""Return the zone of a name in canonical text; an escaped dot (`a\.b`) separates nothing."""
    if "\\" not in name:
        return ".".join(name.split(".")[-LABELS:])
    return ".".join(map(_text, labels(name)[-LABELS:]))


def _text(label: bytes) -> str:
    r"""Return a label in which all that is no letter, digit, hyphen or underscore is `\DDD`."""
    return "".join(
        chr(octet)
        if chr(octet).isascii() and (chr(octet).isalnum() or octet in b"-_")
        else f"\\{octet:03}"
        for octet in label
    )
