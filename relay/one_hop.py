"""The fields of a request that a proxy passes on: all but those of one hop (RFC 9110, 7.6.1); pure.

`end_to_end` of relay/gateway/http.py is for both versions of HTTP, which frame a message anew; here
the framing stays.
"""

from collections.abc import Iterable
from typing import Final, TypeAlias

Field: TypeAlias = tuple[bytes, bytes]

_OF_ONE_HOP: Final = frozenset(
    {
        *(b"connection", b"host", b"keep-alive", b"proxy-connection", b"proxy-authorization"),
        *(b"te", b"upgrade", b"http2-settings"),
    }
)
"""Host is written anew. An upgrade is not passed on: a tunnel serves that, and without one nobody
here would know when the connection is no more HTTP's."""

_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


def passed_on(fields: Iterable[Field]) -> list[Field]:
    """Return the fields that are passed on, without what Connection names but for the framing."""
    given = list(fields)
    named = {
        member.strip().lower()
        for name, value in given
        if name.lower() == b"connection"
        for member in value.split(b",")
    }
    left_out = _OF_ONE_HOP | (named - _FRAMING)
    return [each for each in given if each[0].lower() not in left_out]
