"""The small processes of a session, forked before this one grows."""

from typing import NamedTuple

from netns.process.socket_maker import SocketMaker
from relay.command.witness import Witness


class Beside(NamedTuple):
    """They stand beside the relay, and end with it."""

    witness: Witness
    maker: SocketMaker

    @classmethod
    def fork(cls) -> "Beside":
        """Fork them, or go without one that cannot be had. The caller has one thread."""
        return cls(Witness(), SocketMaker.fork())

    def end(self) -> None:
        """Let both end; what waits for our children finds them no more."""
        self.maker.stop()
        self.witness.end()
