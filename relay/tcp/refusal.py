"""What a program hears of a dial that came to nothing, as exactly as its way in allows; pure."""

import errno
from typing import Final

from relay.inbound.offer import Refusal
from relay.outbound.patience import DialError
from relay.record.kinds import Kind

_REFUSALS: Final = frozenset({errno.ECONNREFUSED, errno.ECONNRESET})

_UNANSWERED: Final = frozenset(
    {
        Kind.TIMEOUT,
        Kind.UNREACHABLE,
        Kind.ADDRESS_GONE,
        Kind.NO_RESOLVER,
        Kind.PROGRAM_GONE,
        Kind.CANCELLED,
        Kind.SESSION_END,
    }
)
"""Outages that have outlasted patience, and what nobody waits for any more."""


def refusal_for(error: DialError) -> Refusal:
    """Return what the program is told."""
    if error.code is not None:
        return Refusal(error.code)
    if error.number in _REFUSALS:
        return Refusal.REFUSED
    if error.kind in _UNANSWERED:
        return Refusal.NO_ANSWER
    return Refusal.HOST_UNREACHABLE
