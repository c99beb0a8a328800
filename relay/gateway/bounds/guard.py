"""Who floods a connection of HTTP/2, or has us answer its frames and reads nothing; pure."""

from collections.abc import Container
from typing import Final

from relay.gateway.bounds.bucket import Bucket
from relay.gateway.bounds.frames import Frames

UNREAD: Final = 256 * 1024
"""Bytes that upstream's frames have us send (acknowledgements, RST_STREAM) and it does not take."""

_FOR_HEAD: Final = 100
_FOR_DATA: Final = 10
"""Tokens that each frame of ours gives back: upstream answers it by heads and WINDOW_UPDATEs."""
_FOR_RESET: Final = 4096
"""For what is on its way on a stream that is not wanted any more: a window of small frames."""


class Guard:
    """Judges what comes on one connection."""

    def __init__(self) -> None:
        self._frames, self._bucket = Frames(), Bucket()
        self._unread = 0
        self.is_content = False
        """Whether all that was judged last is content that was asked for: nothing answers that."""

    def allowed(self, data: bytes | bytearray, awaited: Container[int], now: float) -> int:
        """Return how many bytes come before the frame that is one too many; all if none is.

        `awaited` has the streams whose answers are to come.
        """
        costs = self._frames.costs(data, awaited)
        self.is_content = not costs
        for begin, cost in costs:
            if not self._bucket.spend(cost, now):
                return begin
        return len(data)

    def is_read(self, answers: int) -> bool:
        """Note how many bytes are to be sent for what has come; return whether upstream reads."""
        self._unread += answers
        return self._unread <= UNREAD

    def note_written(self) -> None:
        """Note that all there was to send is written."""
        self._unread = 0

    def note_head(self) -> None:
        """Note a request."""
        self._bucket.refund(_FOR_HEAD)

    def note_data(self) -> None:
        """Note a frame of a request's body."""
        self._bucket.refund(_FOR_DATA)

    def note_reset(self) -> None:
        """Note a stream that is not wanted any more."""
        self._bucket.refund(_FOR_RESET)
