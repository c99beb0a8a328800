"""How an answer of the fake API fails, and the script of which request fails how; pure.

    Failure(Fault.FIN, Position.IN_TEXT)     one request's answer is cut by a FIN in a text block
    script.add(*[failure] * 5)               the next five requests fail so
    script.add(failure, key="a")             the next request with this x-request-key fails so

An attempt's key is its request's, a dot and a number: "a.0", "a.1" share the script of "a".
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from .stream import Position


class Fault(Enum):
    """What goes wrong; the values are for tables."""

    FIN = "FIN"
    TLS_CLOSE = "TLS close"
    """close_notify, then FIN."""
    RST = "RST"
    SILENCE = "silence"
    """Nothing more of this answer; the connection stays open, and h2 answers PING."""
    GOAWAY = "GOAWAY, then FIN"
    """It names the stream as one that may have been processed."""
    GOAWAY_ABOVE = "GOAWAY below the stream"
    """The stream was provably not processed."""
    GOAWAY_DRAIN = "GOAWAY, the answer goes on"
    """No loss: the answer is served to its end, then the connection is closed."""
    RST_INTERNAL = "RST_STREAM (INTERNAL_ERROR)"
    RST_CANCEL = "RST_STREAM (CANCEL)"
    REFUSED = "REFUSED_STREAM"
    CLEAN_END = "clean end without message_stop"
    OVERLOADED = "overloaded_error"
    API_ERROR = "api_error"
    RATE_LIMIT = "rate_limit_error"
    """To be passed on, as the next one."""
    INVALID = "invalid_request_error"


ONLY_H2: Final = frozenset(
    {
        *(Fault.GOAWAY, Fault.GOAWAY_ABOVE, Fault.GOAWAY_DRAIN),
        *(Fault.RST_INTERNAL, Fault.RST_CANCEL, Fault.REFUSED),
    }
)
UNPROCESSED: Final = frozenset({Fault.GOAWAY_ABOVE, Fault.REFUSED})

STATUS_OF_ERROR: Final = {
    Fault.OVERLOADED: 529,
    Fault.API_ERROR: 500,
    Fault.RATE_LIMIT: 429,
    Fault.INVALID: 400,
}
"""The error events, and the status that an answer which is no stream has instead."""


@dataclass(frozen=True)
class Failure:
    """One answer fails."""

    fault: Fault
    position: Position = Position.START
    pause: float = 0.0
    """Seconds from the last byte before the loss to the loss; without any, a client may meet both
    at once, and Bun's fetch then gives neither head nor bytes."""


@dataclass(frozen=True)
class Status:
    """One request is answered by an error status instead."""

    code: int
    should_retry: bool | None = None
    """The x-should-retry field, if there is one."""
    retry_after: float | None = None


class Script:
    """What is still to go wrong; once a queue is empty, all requests are served well."""

    def __init__(self, failures: Sequence[Failure | Status] = ()) -> None:
        self._next = deque(failures)
        self._of_key: dict[str, deque[Failure | Status]] = defaultdict(deque)

    def add(self, *failures: Failure | Status, key: str | None = None) -> None:
        """Have the next requests fail: all that have no script of their own, or those of a key."""
        (self._next if key is None else self._of_key[key]).extend(failures)

    def take(self, key: str) -> Failure | Status | None:
        """Return how this request fails."""
        own = self._of_key.get(request_of(key))
        queue = self._next if own is None else own
        return queue.popleft() if queue else None


def request_of(key: str) -> str:
    """Return the key of the request that this is an attempt of."""
    return key.partition(".")[0]


def possible(fault: Fault) -> Sequence[Position]:
    """Return where an answer can fail in this way."""
    if fault in UNPROCESSED:
        return (Position.START,)
    if fault is Fault.CLEAN_END or fault in STATUS_OF_ERROR:
        return [each for each in Position if each not in {Position.START, Position.IN_BODY}]
    return tuple(Position)
