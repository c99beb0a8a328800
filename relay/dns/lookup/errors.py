"""How a question to the host's resolvers fails; pure, and free of dnspython."""

from relay.record.kinds import CausedError


class UpstreamError(CausedError):
    """One server gave no usable answer."""


class FailureAnswerError(UpstreamError):
    """The server can be reached, but reports a failure: SERVFAIL and the like."""


class ResolverError(CausedError):
    """No server gave a usable answer; the cause lists each server's."""


class OutageError(ResolverError):
    """No server was reached at all, so that asking again may help."""
