"""What the gateway has to know of an API, behind one protocol; everything else is the same for all.

A new dialect is one file in dialects/ with a DIALECT that implements Dialect. Pure.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol


class Role(StrEnum):  # StrEnum is hashed in C, Enum in Python: this happens for every event
    """What an event does in a streamed answer."""

    START = "begins the answer"
    PART_START = "begins a part of the answer"
    CONTENT = "carries content of a part"
    PART_END = "ends a part"
    STOP = "says why the answer stops: all of its parts have come"
    MESSAGE = "belongs to the answer in another way"
    END = "ends the answer"
    ERROR = "is an error, which ends the answer too"
    FILLER = "says nothing"
    UNKNOWN = "is of an unknown type"


class AnswerEvent(NamedTuple):
    """One event of a streamed answer."""

    raw: bytes
    """Its bytes as received, framing included."""
    roles: tuple[Role, ...]
    """What it does, in this order: a chunk of some APIs begins, carries and ends at once."""
    passing_error: str = ""
    """The name of an ERROR that is the server's, so that asking again may help. It is written to
    the flight log: a name from the API's documentation, never text from the answer."""


class Reader(Protocol):
    """Reads one streamed answer.

    The framing is the dialect's: server-sent events, frames of an event stream, or WebSocket
    messages, each fed as one chunk. The raw bytes of all events, then of the partial one, are
    exactly what was fed.
    """

    end_name: str
    """What an unfinished answer lacks, as the flight log calls it."""
    closing: bytes
    """The event that ends an answer after its STOP, for servers that leave it out."""

    def feed(self, data: bytes) -> Sequence[AnswerEvent]:
        """Return the events that are complete with `data`."""

    @property
    def idle(self) -> int:
        """How many pieces of framing have come that carry nothing, beside whole events."""

    @property
    def size(self) -> int:
        """The size in bytes of the unfinished event, without what was taken."""

    @property
    def carries_content(self) -> bool:
        """Whether the unfinished event is already known to be one that only carries content."""

    def take_partial(self) -> bytes:
        """Return the bytes of the unfinished event and forget them, so that memory is bounded.

        The rest of the event is still recognised by its roles.
        """


class Rules(NamedTuple):
    """What holds for a request, by its method and path."""

    is_repeatable: bool
    """Whether it may be sent again although it may have been processed."""
    is_streamed: bool
    """Whether a Reader can read its answer, if that comes as a stream."""
    is_billed: bool
    """Whether the provider may charge for each time it is sent."""


class Identity(NamedTuple):
    """The variables by which a program is told of the certificate that it presents to servers."""

    certificate: str
    """Names a PEM file, with the certificates that lead to an authority after it."""
    key: str
    """Names the PEM file of its private key."""
    passphrase: str
    """Has the key's passphrase."""


class Dialect(Protocol):
    """One API, as the gateway and its clients know it."""

    programs: tuple[str, ...]
    """Commands that speak it: for them the gateway is on by default."""
    packages: tuple[str, ...]
    """Packages of npm whose command is such a program."""
    folders: tuple[str, ...]
    """Ends of folders in which each file is such a program: versions, side by side."""
    base_url: str
    """The environment variable that tells such a program where to send its requests."""
    identity: Identity | None
    """How such a program is told of its certificate; None if it has none."""
    stream_type: bytes
    """The media type of a streamed answer, in lower case."""
    filler: bytes
    """An event without meaning, which keeps a client patient that waits for held content."""
    filler_interval: float
    """Seconds without a byte after which filler is sent: well below the clients' timeouts."""

    def is_spoken_by(self, host: str) -> bool:
        """Return whether `host`, a canonical name, is one of the API's own."""

    def rules(self, method: str, path: str, prefix: str) -> Rules:
        """Return what holds for a request to `path`, which a base URL may prefix.

        `path` is taken as the request line has it: neither decoded nor normalised.
        """

    def reader(self) -> Reader:
        """Return a reader for one streamed answer to a request whose rules say is_streamed."""

    def is_passing(self, status: int) -> bool:
        """Return whether a request that was answered with this status is worth asking again."""

    def error_event(self, message: str) -> bytes:
        """Write an error as an event of a stream that has begun."""

    def as_error_event(self, body: bytes) -> bytes:
        """Write an error that came as the body of a response as an event; empty if it is none."""

    def error_fields(self, message: str, *, retry: bool) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """Write an error as a response of its own, by its fields and body.

        `retry` is whether clients that heed such a field should ask again.
        """
