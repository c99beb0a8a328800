"""The kinds of causes: what programs read of a loss, beside the text for people. Pure.

A kind is set where its text is made; none is ever concluded from a text.
"""

import errno
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """Why something failed or ended. Values may be added; those that are here stay."""

    @classmethod
    def _missing_(cls, value: object) -> "Kind":  # noqa: ARG003 - enum's
        """Read a kind of a later version as UNKNOWN."""
        return cls.UNKNOWN

    UNKNOWN = "unknown"
    """Not recorded, or not known here: the log is of a version with fewer or more kinds."""
    OTHER = "other"
    """An error without a kind of its own."""

    # TCP, and sockets in general
    REFUSED = "refused"
    """By a RST to a SYN, or an ICMP port unreachable."""
    RESET = "reset"
    """By a RST, or a stream by RST_STREAM."""
    CLOSED = "closed"
    """By a FIN, or TLS's close_notify."""
    TIMEOUT = "timeout"
    """No answer in time."""
    UNREACHABLE = "unreachable"
    """No route, or none that works: host or network unreachable, or down."""
    ADDRESS_GONE = "address-gone"
    """The host no longer has the local address, or has none to offer."""
    SILENT = "silent"
    """A connection that stands has given no sign of life for too long."""
    FORGOTTEN = "forgotten"
    """The peer, or a NAT, does not know the connection any more, and answers a new one."""
    RESOURCES = "resources"
    """The host, or keepline, has no descriptor, memory or address left."""
    BOUND = "bound"
    """More at a time than keepline serves, by a bound of its own."""
    NOT_PERMITTED = "not-permitted"
    """By a firewall: the host's own, or one on the way that says so by ICMP."""
    TAMPERED = "tampered"
    """Another process has changed what is keepline's."""
    RULES = "pod-rules"
    """The rules of the pod do not lead to its relay."""
    DEFECT = "defect"
    """An error that keepline did not expect: its own, or of what it is made of."""

    # Names
    NAME_FAILURE = "name-failure"
    """The resolvers answer with an error, or the name has no address that may be dialled."""
    CHANNEL = "dns-channel"
    """More names, longer ones, or other types than may leave in questions with allow rules."""
    NO_RESOLVER = "no-resolver"
    """The host has no name server with an IPv4 address."""

    # TLS, HTTP, and the API
    TLS = "tls"
    """No agreement on TLS, for a reason other than the certificate."""
    UNTRUSTED = "untrusted"
    """A certificate that is not trusted: upstream's, or the session's by a program."""
    MALFORMED = "malformed"
    """What came is not the protocol that was to be spoken: not HTTP, not DNS."""
    FLOOD = "flood"
    """More has come that carries nothing of an answer than any use of the protocol needs."""
    UNTRANSLATABLE = "untranslatable"
    """A message that one version of HTTP allows, and the other cannot express."""
    NOT_PROCESSED = "not-processed"
    """Upstream says that it has not processed the request: GOAWAY, REFUSED_STREAM."""
    STATUS = "status"
    """An answer with an error's status where a stream had to go on."""
    API_ERROR = "api-error"
    """An error event of the API's in place of its answer."""
    ENDED_EARLY = "ended-early"
    """A clean end of a stream whose last event has not come."""

    # A proxy
    PROXY_CREDENTIALS = "proxy-credentials"
    """The proxy wants credentials, or others."""
    PROXY_DENIED = "proxy-denied"
    """The proxy forbids the destination."""
    PROXY_FAILED = "proxy-failed"
    """The proxy did not reach the destination, and does not say why."""

    # Decisions
    POLICY = "policy"
    """A rule of the session forbids the destination."""
    SETTING = "setting"
    """A setting that cannot be used, or not in a session that runs."""
    UNDIALABLE = "undialable"
    """The address is none of another host, or stands for no name of this session."""
    RETIRED = "retired"
    """Idle for longer than idle_retire allows."""
    PROGRAM_GONE = "program-gone"
    """The program had closed its side."""
    CANCELLED = "cancelled"
    """Nobody waits for it any more."""
    SESSION_END = "session-end"
    """The command has ended."""


_ERRNOS: Final = {
    Kind.REFUSED: (errno.ECONNREFUSED,),
    Kind.RESET: (errno.ECONNRESET, errno.EPIPE, errno.ENETRESET),
    Kind.TIMEOUT: (errno.ETIMEDOUT,),
    Kind.UNREACHABLE: (errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ENETDOWN),
    Kind.ADDRESS_GONE: (errno.EADDRNOTAVAIL,),
    Kind.RESOURCES: (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM),
    Kind.NOT_PERMITTED: (errno.EACCES, errno.EPERM),
}
_OF_ERRNO: Final = {number: kind for kind, numbers in _ERRNOS.items() for number in numbers}


UNAWAITED: Final = frozenset({Kind.PROGRAM_GONE, Kind.CANCELLED, Kind.SESSION_END})
"""Ends after which nobody is there who could hear of them."""


class CausedError(Exception):
    """A failure between parts of the relay: `cause` is for people, `kind` for programs."""

    def __init__(self, cause: str, kind: Kind) -> None:
        """Keep both."""
        super().__init__(cause)
        self.cause = cause
        self.kind = kind


class ForgottenError(TimeoutError):
    """A connection that the kernel still waits for, and keepline knows to be dead."""


class ClosedError(ConnectionResetError):
    """An end by FIN that has to be passed on as a loss."""


_OF_TYPE: Final = {ForgottenError: Kind.FORGOTTEN, ClosedError: Kind.CLOSED}


def kind_of_errno(number: int | None) -> Kind:
    """Return the kind of an errno; OTHER for one that has none of its own, or for None."""
    return _OF_ERRNO.get(number or 0, Kind.OTHER)


def kind_of(error: OSError) -> Kind:
    """Return the kind of a socket's error."""
    return _OF_TYPE.get(type(error)) or kind_of_errno(error.errno)
