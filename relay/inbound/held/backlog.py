"""Messages of the log that were read and not yet looked at: the newest first, once they are many.

The log's socket has room for some thousand SYNs, whoever sends them, and the kernel drops what
finds none; its program then waits for a second, and again. So the socket is emptied at each turn,
and what a flood has sent does not stand before the one SYN of another program that came after it.
What has waited longer than MOST_SECONDS is forgotten: its kernel has sent a copy by then, and it
may be of a connection that was accepted by a copy, and closed. Pure.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

FEW: Final = 256
"""So many are taken in the order in which they came."""

MOST: Final = 16_384
"""Messages; a further one takes the place of the oldest."""

MOST_SECONDS: Final = 1.0
"""A kernel waits so long before it sends a SYN again, RFC 6298 section 2; Linux sends the next four
copies at the same pace, net.ipv4.tcp_syn_linear_timeouts."""


class Backlog:
    """What waits; the time is an argument."""

    def __init__(self) -> None:
        self._waiting = deque[tuple[float, bytes]](maxlen=MOST)

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def fill(self, receive: Callable[[], bytes], now: float) -> None:
        """Receive until EAGAIN, as many as there is room for at most."""
        try:
            for _ in range(MOST):
                self._waiting.append((now, receive()))
        except BlockingIOError:
            pass

    def taken(self, most: int, now: float) -> Iterator[bytes]:
        """Yield so many messages at most; each has left when it is yielded."""
        while self._waiting and self._waiting[0][0] < now - MOST_SECONDS:
            self._waiting.popleft()
        for _ in range(most):
            if not self._waiting:
                return
            is_flood = len(self._waiting) > FEW
            yield (self._waiting.pop() if is_flood else self._waiting.popleft())[1]
