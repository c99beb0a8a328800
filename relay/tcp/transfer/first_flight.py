"""The replay rule: what may be sent again on a new connection, and nothing beyond it.

Replay is allowed while all of this holds:
1. upstream has sent nothing at all;
2. the program's bytes are exactly one TLS ClientHello, whole, in as many records as it likes,
   and nothing after it;
3. the ClientHello offers no early data (RFC 8446 section 4.2.10): it would come with it;
4. fewer than three replays have been made.

A ClientHello asks for nothing, so a server that has seen it twice has done nothing twice. A pure
state machine: no sockets, no clock; pump.py sends.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from relay.tcp.transfer import client_hello

LIMIT: Final = 16 * 1024
"""Bytes kept; a longer first flight is not replayed."""
TRIES: Final = 3


def _ignore(_sent: bytes) -> None:
    pass


@dataclass(slots=True)
class FirstFlight:
    """What one connection's program has sent before upstream's first byte."""

    sent: bytes = b""
    on_end: Callable[[bytes], None] = _ignore
    """Is called with it once, when it is over."""
    _open: bool = True
    """False once a replay is out of the question for good."""
    _replays: int = field(default=0)

    def program_sent(self, data: bytes | memoryview) -> None:
        """Keep what is passed upstream, as long as it may be needed again."""
        if not self._open:
            return
        self.sent += data
        if len(self.sent) > LIMIT:
            self.close()

    def close(self) -> None:
        """Upstream has answered, or the program has ended: what is lost now stays lost."""
        if self._open:
            self._open = False
            self.on_end(self.sent)
        self.sent = b""

    @property
    def is_open(self) -> bool:
        """Whether upstream has been silent so far and a replay may still be right."""
        return self._open

    @property
    def may_replay(self) -> bool:
        """Whether a loss of upstream right now could be hidden by a replay."""
        return self._open and self._replays < TRIES and is_client_hello(self.sent)

    def claim_replay(self, *, reset: bool) -> bool:
        """Upstream is lost, by a reset or a FIN: return whether to dial again, and count it.

        A reset before the program has sent anything needs another connection but no replay; a
        FIN at that time is passed on, but for one of a proxy, which may be a reset to it.
        """
        unused = self._open and self._replays < TRIES and reset and not self.sent
        if not (unused or self.may_replay):
            return False
        self._replays += 1
        return True


def is_client_hello(data: bytes) -> bool:
    """Return whether `data` is exactly one whole ClientHello without early data."""
    first = client_hello.read(data)
    if not isinstance(first, client_hello.ClientHello):
        return False
    return first.is_alone and client_hello.EARLY_DATA not in first.extensions
