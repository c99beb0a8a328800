"""Who spoke when on a connection, and so which resets are no loss to tell; pure.

A reset is a loss where the program waited for something and did not get it. Two are none:

- The program had gone: it had closed, and no process holds its socket any more.
- The answer came early: a server that refuses an upload (HTTP's 413, 401, 507) answers in the
  middle of it and closes with the rest unread, which its kernel says by a reset. A program alone
  meets the same, and has its answer.

What is not clearly one of these is a loss. So an answer counts as early only if the program was in
the middle of a long run of its own, of which upstream had not taken all; if that was the first word
of upstream's in it, for in HTTP/2 a server speaks all the time while it takes an upload; if it was
more than the frames and alerts of a protocol; and if the reset came right after it. An answer that
is cut after a whole request, a stream's for example, has nothing of the request behind it.
"""

from typing import Final

RUN: Final = 16 * 1024
"""Bytes that a program says without a word of upstream's, which make an upload."""

ANSWER: Final = 96
"""Bytes; an HTTP answer has more, what acknowledges an upload or tells an alert has fewer."""

STILL: Final = 4 * 1024
"""Bytes of the upload that come after the answer: more than what HTTP/2 acknowledges one with."""

RIGHT_AFTER: Final = 1.0
"""Seconds."""


class Dialogue:
    """Counts of bytes at the last change of the speaker from the program to upstream."""

    __slots__ = ("answered", "asked", "run", "run_before")

    def __init__(self) -> None:
        self.asked = 0
        """What the program had said."""
        self.answered = 0
        """What upstream had said before it."""
        self.run = 0
        """What the program had said since upstream's word before."""
        self.run_before = 0

    def turn(self, sent: int, received: int) -> None:
        """Note that upstream speaks now, after the program has said something new."""
        self.run_before, self.run = self.run, sent - self.asked
        self.asked, self.answered = sent, received

    def came_early(self, sent: int, received: int, untaken: int, seconds: float) -> bool:
        """Return whether a reset now, so long after upstream's last byte, follows an early answer.

        `untaken` are the program's bytes that have not reached upstream, or have not been read.
        """
        return (
            self.run >= RUN > self.run_before
            and sent - self.asked + untaken >= STILL
            and received - self.answered >= ANSWER
            and seconds <= RIGHT_AFTER
        )
