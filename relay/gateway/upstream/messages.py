"""A request, its response and its loss, in terms that both versions of HTTP share; pure."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from relay.gateway.fields import Fields

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


class LostError(Exception):
    """An answer will not come to its end; `cause` is for people and quotes no byte of it."""

    def __init__(self, cause: str, *, may_be_processed: bool = True) -> None:
        """Keep the cause, and whether upstream may have acted on the request."""
        super().__init__(cause)
        self.cause = cause
        self.may_be_processed = may_be_processed


class UntrustedError(Exception):
    """Upstream's certificate is not trusted: nothing was sent, and no other try will help."""


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
