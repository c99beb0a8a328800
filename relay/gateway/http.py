"""What both versions of HTTP share: a request, its response, its loss, and header fields; pure.

Fields go through unchanged, but for those of one hop, RFC 9110 section 7.6.1.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from relay.record.kinds import CausedError, Kind

Field: TypeAlias = tuple[bytes, bytes]
Fields: TypeAlias = list[Field]

Flush: TypeAlias = Callable[[], Awaitable[None]]
"""Called before a piece has to be waited for: what waits to be sent goes out meanwhile."""


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request."""

    method: bytes
    target: bytes
    """Path and query, as the program wrote them."""
    fields: Fields
    """End-to-end ones, without Host."""
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
    """An answer will not come to its end; `cause` is for people and quotes no byte of it."""

    def __init__(self, cause: str, kind: Kind, *, may_be_processed: bool = True) -> None:
        """Keep the cause, its kind, and whether upstream may have acted on the request."""
        super().__init__(cause, kind)
        self.may_be_processed = may_be_processed


class UntrustedError(Exception):
    """Upstream's certificate is not trusted: nothing was sent, and no other try will help."""

    kind = Kind.UNTRUSTED


class Pieces(Protocol):
    """A request's body, which can be read more than once."""

    trailers: Fields

    async def piece(self, number: int, flush: Flush) -> bytes | None:
        """Give a piece, the first is 0; None after the last."""


class Stream(Protocol):
    """One request and its answer on some connection."""

    trailers: Fields

    async def send(self, request: Request, body: Pieces) -> None:
        """Send it all; a loss shows in what comes back, for upstream may have answered before."""

    async def response(self) -> Response:
        """Wait for the head of the answer; raises LostError."""

    async def receive(self) -> bytes:
        """Give more of its body, nothing at the end; raises LostError."""

    def condemn(self) -> None:
        """Have the next try, and all other requests, go to another connection."""


BODILESS: Final = frozenset({204, 304})
"""Statuses whose answers have no body, whatever their Content-Length says."""

_OF_ONE_HOP: Final = frozenset(
    {
        *(b"connection", b"keep-alive", b"proxy-connection", b"te"),
        *(b"transfer-encoding", b"upgrade", b"http2-settings"),
    }
)


def values(fields: Iterable[Field], name: bytes) -> list[bytes]:
    """Give the members of a field that is a list, in lower case."""
    return [
        member.strip().lower()
        for field, value in fields
        if field.lower() == name
        for member in value.split(b",")
        if member.strip()
    ]


def without(fields: Iterable[Field], *names: bytes) -> Fields:
    """Leave fields out."""
    unwanted = frozenset(names)
    return [field for field in fields if field[0].lower() not in unwanted]


def end_to_end(fields: Iterable[Field], *also: bytes) -> Fields:
    """Leave out what is between two neighbours only, what Connection names so, and `also`."""
    known = list(fields)
    return without(known, *_OF_ONE_HOP, *values(known, b"connection"), *also)


def asking_identity(fields: Iterable[Field]) -> Fields:
    """Ask for an answer without compression, which can be read as it comes."""
    return [*without(fields, b"accept-encoding"), (b"accept-encoding", b"identity")]


def is_event_stream(fields: Iterable[Field]) -> bool:
    """Tell whether an answer is a stream of events that can be read."""
    known = list(fields)
    kinds = values(known, b"content-type")
    is_plain = set(values(known, b"content-encoding")) <= {b"identity"}
    return is_plain and bool(kinds) and kinds[0].partition(b";")[0].strip() == b"text/event-stream"


def length(fields: Iterable[Field]) -> int | None:
    """Give Content-Length, None if there is none that can be read."""
    found = values(fields, b"content-length")
    return int(found[0]) if len(set(found)) == 1 and found[0].isdigit() else None


def is_json(fields: Iterable[Field]) -> bool:
    """Tell whether an answer is one JSON text."""
    kinds = values(fields, b"content-type")
    return bool(kinds) and kinds[0].partition(b";")[0].strip() == b"application/json"
