"""May a lost request be asked again? Pure: no sockets, no clock.

Rules:
1. Never once a byte of its answer's content was given to the program.
2. Never if its body is no longer known: it was larger than is kept.
3. Always if it provably was not processed: never written, GOAWAY above it, REFUSED_STREAM.
4. If it may have been processed: only GET, HEAD and what the API lists as safe to repeat.
5. MOST times at most, with growing pauses.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

MOST: Final = 5

_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 4.0


@dataclass(frozen=True, slots=True)
class Again:
    """Ask again after a pause."""

    pause: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The program is told of the loss."""

    why: str


Verdict: TypeAlias = Again | GiveUp


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a request whose answer was lost."""

    is_listed: bool
    may_be_processed: bool
    is_committed: bool
    is_kept: bool
    """Whether its whole body can be sent again."""
    resends: int
    """How often it has been sent again already."""


def decide(state: State, jitter: Callable[[], float]) -> Verdict:
    """Apply the rules; `jitter` gives a number from 0 to 1."""
    if state.is_committed:
        return GiveUp("the program has part of the answer")
    if not state.is_kept:
        return GiveUp("its body is larger than what is kept of one")
    if state.may_be_processed and not state.is_listed:
        return GiveUp("it may have been processed, and is none that may be repeated")
    if state.resends >= MOST:
        return GiveUp(f"asked {MOST + 1} times already")
    return Again(jitter() * min(_FIRST_PAUSE * 2**state.resends, _LONGEST_PAUSE))
