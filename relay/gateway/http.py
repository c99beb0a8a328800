"""What both versions of HTTP share: a request, its response, its loss, and header fields; pure.

Fields are passed on unchanged, but for those of one hop, RFC 9110 section 7.6.1.
"""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from relay.record.kinds import CausedError, Kind

Field: TypeAlias = tuple[bytes, bytes]
Fields: TypeAlias = list[Field]

Flush: TypeAlias = Callable[[], Awaitable[None]]
"""Called before a piece has to be waited for: what is buffered for sending goes out meanwhile."""


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request."""

    method: bytes
    target: bytes
    """Path and query, as the program wrote them."""
    fields: Fields
    """The end-to-end ones, without Host."""
    is_framed: bool = False
    """Whether a body follows."""

    @property
    def path(self) -> str:
        """The target without its query, which may hold secrets."""
        return self.target.partition(b"?")[0].decode("latin-1")


@dataclass(frozen=True, slots=True)
class Response:
    """The head of a response."""

    status: int
    fields: Fields
    reason: bytes = b""


class LostError(CausedError):
    """An answer will not be completed; `cause` is for people and quotes no byte of it."""

    def __init__(
        self, cause: str, kind: Kind, *, may_be_processed: bool = True, is_lasting: bool = False
    ) -> None:
        """Keep the cause, its kind, and whether upstream may have acted on the request.

        `is_lasting` is whether the cause stays as it is, so that asking again is of no use.
        """
        super().__init__(cause, kind)
        self.may_be_processed = may_be_processed
        self.is_lasting = is_lasting


class UntrustedError(Exception):
    """Upstream's certificate is not trusted: nothing was sent, and no other try will help."""

    kind = Kind.UNTRUSTED


class Pieces(Protocol):
    """A request's body, which can be read more than once."""

    trailers: Fields

    async def piece(self, number: int, flush: Flush) -> bytes | None:
        """Return a piece, the first is 0; None after the last."""


class Stream(Protocol):
    """One request and its answer on some connection."""

    trailers: Fields

    async def send(self, request: Request, body: Pieces) -> None:
        """Send all of it.

        A loss does not show here but in what is received: upstream may have answered before it.
        """

    async def response(self) -> Response:
        """Wait for the head of the answer; raises LostError."""

    async def receive(self) -> bytes:
        """Return more of its body, nothing at the end; raises LostError."""

    def condemn(self) -> None:
        """Make the next try, and all other requests, use another connection."""


TOKEN: Final = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
"""What a field's name is, RFC 9110 section 5.6.2."""

_LENGTH: Final = re.compile(rb"[0-9]{1,20}")
"""As many digits as h11 takes; int() raises ValueError for more than 4,300."""

_SECONDS: Final = re.compile(rb"[0-9]{1,9}")

BODILESS: Final = frozenset({204, 304})
"""Statuses whose responses have no body, whatever their Content-Length says."""

_OF_ONE_HOP: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"te"),
        *(b"transfer-encoding", b"upgrade", b"http2-settings"),
    }
)


def values(fields: Iterable[Field], name: bytes) -> list[bytes]:
    """Return the members of a field that is a list, in lower case."""
    return [
        member.strip().lower()
        for field, value in fields
        if field.lower() == name
        for member in value.split(b",")
        if member.strip()
    ]


def without(fields: Iterable[Field], *names: bytes) -> Fields:
    """Return the fields without those that have these names."""
    unwanted = frozenset(names)
    return [field for field in fields if field[0].lower() not in unwanted]


def end_to_end(fields: Fields, *also: bytes) -> Fields:
    """Return the fields without those of one hop, those that Connection names, and `also`."""
    return without(fields, *_OF_ONE_HOP, *values(fields, b"connection"), *also)


def asking_identity(fields: Iterable[Field]) -> Fields:
    """Return the fields, asking for an uncompressed answer, which can be read as it comes."""
    return [*without(fields, b"accept-encoding"), (b"accept-encoding", b"identity")]


def media_type(fields: Iterable[Field]) -> bytes:
    """Return Content-Type without its parameters, in lower case; empty if there is none."""
    kinds = values(fields, b"content-type")
    return kinds[0].partition(b";")[0].strip() if kinds else b""


def is_plain(fields: Iterable[Field]) -> bool:
    """Return whether the content is not compressed."""
    return set(values(fields, b"content-encoding")) <= {b"identity"}


def length(fields: Iterable[Field]) -> int | None:
    """Return Content-Length; None if there is none, or none that can be read."""
    found = set(values(fields, b"content-length"))
    return int(found.pop()) if len(found) == 1 and _LENGTH.fullmatch(min(found)) else None


def retry_after(fields: Iterable[Field]) -> float:
    """Return the seconds that Retry-After names; 0 if there is none, or a date."""
    found = values(fields, b"retry-after")
    return float(found[0]) if len(found) == 1 and _SECONDS.fullmatch(found[0]) else 0.0
