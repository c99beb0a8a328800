"""Whether a request whose answer was lost is sent again; pure: no sockets, no clock.

Rules:
1. Never once a byte of the answer's content was given to the program.
2. Never if its body is no longer known: it was larger than is kept.
3. Always if it provably was not processed: never written, GOAWAY below it, REFUSED_STREAM.
4. If it may have been processed: only GET, HEAD and what the dialect lists as safe to repeat.
5. MOST times at most, with growing pauses.
6. Never if no other try would help: patience is over, or upstream is not trusted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

MOST: Final = 5

_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 4.0


@dataclass(frozen=True, slots=True)
class Resend:
    """Send it again after a pause."""

    pause: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class DoNotResend:
    """Show the program the loss."""

    why: str
    """For people; empty if the loss's own cause says it."""


Verdict: TypeAlias = Resend | DoNotResend


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a request whose answer was lost."""

    is_repeatable: bool
    """Whether the dialect says that it may be sent again although it may have been processed."""
    may_be_processed: bool
    is_committed: bool
    is_kept: bool
    """Whether its whole body can be sent again."""
    resends: int
    """How often it has been sent again already."""
    is_final: bool = False
    """Whether no other try would help, as the loss's cause says."""


def decide(state: State, jitter: Callable[[], float]) -> Verdict:
    """Apply the rules; `jitter` returns a number from 0 to 1."""
    if state.is_committed:
        return DoNotResend("the program has part of the answer")
    if not state.is_kept:
        return DoNotResend("its body is larger than what is kept of one")
    if state.may_be_processed and not state.is_repeatable:
        return DoNotResend("it may have been processed, and is not known to be safe to repeat")
    if state.resends >= MOST:
        return DoNotResend(f"asked {MOST + 1} times already")
    if state.is_final:
        return DoNotResend("")
    return Resend(jitter() * min(_FIRST_PAUSE * 2**state.resends, _LONGEST_PAUSE))
