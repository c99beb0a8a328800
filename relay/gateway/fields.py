"""Header fields on their way through: unchanged, but for those of one hop, RFC 9110 7.6.1; pure."""

from collections.abc import Iterable
from typing import Final, TypeAlias

Field: TypeAlias = tuple[bytes, bytes]
Fields: TypeAlias = list[Field]

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
