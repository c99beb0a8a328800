"""Whether a request whose answer was lost is sent again; pure: no sockets, no clock.

Rules:
1. Never once a byte of the answer's content was given to the program.
2. Never if its body is no longer known: it was larger than is kept.
3. Always if it provably was not processed: never written, GOAWAY below it, REFUSED_STREAM.
4. If it may have been processed: only GET, HEAD and what the dialect lists as safe to repeat.
5. MOST times at most, with growing pauses.
6. Never if no other try would help: patience is over, or the cause stays as it is (no trust, no
   agreement on TLS, no HTTP).
7. Not before the time that upstream names by Retry-After, and never if that is beyond patience.

What all requests to one origin may cost together is upstream/budget.py's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from relay.record.kinds import Kind

MOST: Final = 5

_FIRST_PAUSE: Final = 0.25
"""Seconds; each further pause is twice as long, and a random part of that is waited (full jitter).
"""


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
class LostAnswer:
    """The outcome of a try that gave no answer."""

    cause: str
    kind: Kind
    may_be_processed: bool = True
    is_final: bool = False
    """Whether no other try will help: patience has ended, or it is lasting."""
    is_lasting: bool = False
    """Whether the cause stays as it is, whoever asks again, the program too."""
    error: bytes = b""
    """The error event that upstream gave instead, for when there is no other try."""
    retry_after: float = 0.0
    """Seconds that upstream wants to be left alone."""


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
    retry_after: float = 0.0
    """Seconds that upstream wants to be left alone, RFC 9110 section 10.2.3."""


BUDGET_SPENT: Final = DoNotResend("the resends to this host are used up until it answers")


def decide(state: State, jitter: Callable[[], float], patience: float = math.inf) -> Verdict:
    """Apply the rules; `jitter` returns a number from 0 to 1, `patience` is in seconds."""
    if state.is_committed:
        return DoNotResend("the program has part of the answer")
    if not state.is_kept:
        return DoNotResend("its body is larger than what is kept of one")
    if state.may_be_processed and not state.is_repeatable:
        return DoNotResend("it may have been processed, and is not known to be safe to repeat")
    if state.resends >= MOST:
        return DoNotResend(f"asked {MOST + 1} times already")
    if state.is_final or state.retry_after > patience:
        return DoNotResend("" if state.is_final else "upstream asks for a pause beyond patience")
    pause = jitter() * min(_FIRST_PAUSE * 2**state.resends, patience)
    return Resend(state.retry_after + pause)
