"""What the fake API was asked and what it did, and whether that keeps the rules; in memory.

log.asked                 each request that reached it, in order
log.tries("a.0")          those with this x-request-key
list(log.broken("a.0"))   the rules that were broken with it; empty is well
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from .faults import Failure, Status, request_of

MOST_RESENDS: Final = 5
LISTED: Final = frozenset({"/v1/messages", "/v1/messages/count_tokens"})

# By one hop to the next: their values may differ from one try to the next.
_OF_THE_HOP: Final = frozenset({b"connection", b"keep-alive", b"te", b"transfer-encoding"})

Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class Request:
    """One request, as it came."""

    method: str
    path: str
    fields: Fields
    """Names as they were written, and values; of h2 without the pseudo-header fields."""
    body: bytes
    protocol: str
    """http/1.1 or h2."""
    connection: int
    """The number of the connection."""

    def field(self, name: str) -> str | None:
        """Return a header field's value; the name in lower case."""
        values = [value for each, value in self.fields if each.lower() == name.encode()]
        return ", ".join(value.decode("latin-1") for value in values) if values else None

    @property
    def key(self) -> str:
        """What x-request-key says; empty if there is none."""
        return self.field("x-request-key") or ""

    @property
    def may_be_resent(self) -> bool:
        """Return whether it is on the list of those that may be processed twice."""
        return self.method in {"GET", "HEAD"} or (
            self.method == "POST" and self.path.partition("?")[0] in LISTED
        )


@dataclass
class Asked:
    """One request and what became of it."""

    request: Request
    version: int
    """How many tries of the same came before; which version of its message it gets."""
    failure: Failure | Status | None
    """What the script said."""
    processed: bool
    """False only where the failure said to the client that it was not."""
    at: float = field(default_factory=time.time)
    """When it had come, seconds of the clock that clients have too."""
    body_sha256: str = ""
    sent: int = 0
    """Bytes of the answer's body that were written."""
    before_content: int = 0
    """How many of them come before the first content event."""
    ended: str = ""
    """How the answer ended: "well", a fault's name, "connection lost" by the fault of another
    request, "by the client"; empty while it goes on, which may be a moment longer than the client
    needs to have all of it."""

    is_taken_back: bool = False
    """Whether the client has said, by RST_STREAM, that it does not want the answer any more."""

    @property
    def content_sent(self) -> int:
        """Return the bytes written from the first content event on."""
        return max(0, self.sent - self.before_content)


class Log:
    """All of it."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._of_request: dict[str, list[Asked]] = defaultdict(list)
        self.connections = 0

    def tries(self, key: str) -> list[Asked]:
        """Return all tries with one key, in order."""
        return [asked for asked in self.attempts(key) if asked.request.key == key]

    def attempts(self, key: str) -> list[Asked]:
        """Return all tries of all attempts at one request: "a" has those of "a.0" and "a.1"."""
        return list(self._of_request.get(request_of(key), ()))

    def of_path(self, path: str) -> list[Asked]:
        """Return all requests for a path."""
        return [asked for asked in self.asked if asked.request.path == path]

    def note(self, request: Request, failure: Failure | Status | None, *, processed: bool) -> Asked:
        """Keep a request that has come."""
        asked = Asked(request, self._earlier(request), failure, processed)
        asked.body_sha256 = sha256(request.body).hexdigest()
        self.asked.append(asked)
        self._of_request[request_of(request.key)].append(asked)
        return asked

    def broken(self, key: str, *, content_at: float | None = None) -> Iterator[str]:
        """Yield which rules were broken for one key.

        `content_at` is when its client had the first content byte, by time.time().
        """
        tries = self.tries(key)
        if len(tries) > 1 + MOST_RESENDS:
            yield f"{len(tries)} tries of one request"
        if len({asked.body_sha256 for asked in tries}) > 1:
            yield "its tries differ in their bodies"
        if len({_end_to_end(asked.request) for asked in tries}) > 1:
            yield "its tries differ in their header fields"
        if not all(asked.request.may_be_resent for asked in tries) and _twice(tries):
            yield "processed twice, and not on the list"
        if content_at is not None and any(asked.at > content_at for asked in tries):
            yield "sent again after content was committed"

    def _earlier(self, request: Request) -> int:
        if request.key:
            return len(self.attempts(request.key))
        return sum(
            (asked.request.method, asked.request.path, asked.request.body)
            == (request.method, request.path, request.body)
            for asked in self.asked
        )


def _twice(tries: Sequence[Asked]) -> bool:
    return sum(asked.processed for asked in tries) > 1


def _end_to_end(request: Request) -> tuple[str, str, Fields]:
    """Return what may not differ; h1 has a host field, h2 has none, and names in lower case."""
    fields = sorted(
        (name.lower(), value)
        for name, value in request.fields
        if name.lower() not in _OF_THE_HOP | {b"host"}
    )
    return request.method, request.path, tuple(fields)
