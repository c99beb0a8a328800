"""How a question to the host's resolvers fails; pure, and free of dnspython."""


class UpstreamError(Exception):
    """One server gave no usable answer; the message says why."""


class FailureAnswerError(UpstreamError):
    """The server is there, but answered that it found no answer: SERVFAIL and the like."""


class ResolverError(Exception):
    """No server gave a usable answer; the message says why, server by server."""

    def __init__(self, message: str, *, is_outage: bool) -> None:
        """`is_outage`: no server was reached at all, so that asking again may help."""
        super().__init__(message)
        self.is_outage = is_outage
