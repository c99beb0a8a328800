"""How often the requests to one origin may be asked again while none is answered; pure.

A request that is lost has resends of its own (resend.py). Where the origin fails for everybody they
do not help: the client repeats what failed as well, and each of its tries would be six. So resends
are paid for by all requests to the origin together, and only an answer fills it again (as in
gRPC's retry throttling, proposal A6, and Finagle's RetryBudget, where an answer gives back a part):

1. There are EACH resends, and as many more for each further request that is lost at the same time;
   ALL at most.
2. An answer makes all of it good, so what is lost once in a while is always asked again. If streams
   were lost, it takes the answer to a stream: a middlebox may cut those alone.
3. So do FORGIVEN seconds without a loss: what is known of the origin by then is old. Clients that
   repeat a request pause for up to 35 s, and a silent answer is lost after 60 s.

Where it is empty a loss is passed on, and the client's own rules go on: of a client that sends
twelve requests before it gives up, 17 reach the origin. The bound is one of proportion: of many
requests that are lost together each may be asked again as often as one that is alone.
"""

from dataclasses import dataclass, field
from typing import Final

EACH: Final = 5
ALL: Final = 100
FORGIVEN: Final = 300.0
"""Seconds."""


@dataclass
class Budget:
    """The resends of one origin; a request is named by any object that is its own."""

    spent: int = 0
    """How many resends there were since the last answer."""
    _lost: set[object] = field(default_factory=set)
    """Requests that were lost at least once, and are neither answered nor given up."""
    _most: int = 1
    """How many of them there were at one time, since the last answer."""
    _needs_stream: bool = False
    """Whether a stream was lost since the last answer."""
    _last: float = 0.0
    """When the last loss was, on the caller's clock."""

    def lose(self, request: object, now: float, *, is_streamed: bool) -> bool:
        """Note the loss of a request; return whether another resend of it is paid for."""
        if now - self._last >= FORGIVEN:
            self._fill()
        self._last = now
        self._needs_stream |= is_streamed
        self._lost.add(request)
        self._most = max(self._most, len(self._lost))
        if self.spent >= min(EACH * self._most, ALL):
            return False
        self.spent += 1
        return True

    def answered(self, *, is_streamed: bool) -> None:
        """Note that the origin has given an answer."""
        if is_streamed or not self._needs_stream:
            self._fill()

    def leave(self, request: object) -> None:
        """Note the end of a request: answered, given up, or no longer wanted."""
        self._lost.discard(request)

    def _fill(self) -> None:
        self.spent, self._needs_stream = 0, False
        self._most = max(1, len(self._lost))
