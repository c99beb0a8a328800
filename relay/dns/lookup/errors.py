"""How a question to the host's resolvers fails; pure, and free of dnspython."""

from enum import Enum, auto
from typing import Final

from relay.record.kinds import CausedError, Kind

SERVFAIL: Final = 2
"""The RCODE "server failure", RFC 1035 section 4.1.1."""


REFUSED: Final = 5
"""The RCODE of a policy, in the same section."""


class Meaning(Enum):
    """What a round without a usable answer means."""

    VERDICT = auto()
    """The fault is the question's own: the resolvers say so (REFUSED, NOTIMP, FORMERR), or evidence
    does."""
    REJECTED = auto()
    """Nobody listens at the resolvers' addresses, or a firewall forbids to ask."""
    FAILING = auto()
    """Something answers, but cannot find out: the name's own fault, or an outage behind it."""
    LOCAL = auto()
    """This host could not ask: it lacks descriptors or memory, or there is a fault."""
    SILENT = auto()
    """Nothing has answered: an outage, or a name that its resolver says nothing about."""


class UpstreamError(CausedError):
    """One server gave no usable answer."""


class FailureAnswerError(UpstreamError):
    """The server can be reached, and answers with an error: `rcode`."""

    def __init__(self, cause: str, kind: Kind, rcode: int = SERVFAIL) -> None:
        super().__init__(cause, kind)
        self.rcode = rcode


class RejectedError(UpstreamError):
    """The question was turned away on its way: by ICMP, or by the host's own firewall."""


class ResolverError(CausedError):
    """No server gave a usable answer; the cause lists each server's."""

    def __init__(
        self, cause: str, kind: Kind, meaning: Meaning = Meaning.SILENT, rcode: int = SERVFAIL
    ) -> None:
        """Keep what it means, and the RCODE that the program is to get."""
        super().__init__(cause, kind)
        self.meaning = meaning
        self.rcode = rcode

    def copy(self) -> "ResolverError":
        """Return one to raise once more: an exception that was raised keeps its frames."""
        return ResolverError(self.cause, self.kind, self.meaning, self.rcode)
