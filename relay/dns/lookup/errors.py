"""How a question to the host's resolvers fails; pure, and free of dnspython."""

from relay.record.kinds import CausedError, Kind


class UpstreamError(CausedError):
    """One server gave no usable answer."""


class FailureAnswerError(UpstreamError):
    """The server is there, but answered that it found no answer: SERVFAIL and the like."""


class ResolverError(CausedError):
    """No server gave a usable answer; the cause says why, server by server."""

    def __init__(self, cause: str, kind: Kind, *, is_outage: bool) -> None:
        """`is_outage`: no server was reached at all, so that asking again may help."""
        super().__init__(cause, kind)
        self.is_outage = is_outage
