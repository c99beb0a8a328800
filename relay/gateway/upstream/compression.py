"""HPACK, RFC 7541, without its dynamic table: a field is always said in the same bytes.

They are kept, so that a field that comes with each request is encoded once.
"""

from functools import lru_cache
from typing import Any, Final

import hpack

_KEPT: Final = 64
"""Fields."""


class Encoder(hpack.Encoder):
    """Encodes requests."""

    def encode(self, headers: Any, huffman: bool = True) -> bytes:  # noqa: FBT001, FBT002 - hpack's
        """Give a block of fields: pairs of bytes."""
        change = super().encode([], huffman)  # of the table's size comes first, section 4.2
        return change + b"".join(_encoded(name, value) for name, value in headers)


@lru_cache(_KEPT)
def _encoded(name: bytes, value: bytes) -> bytes:
    """Say a field as one that nobody on the way may index either, section 7.1.3: most are secret.

    Without Huffman's code, for it takes far longer than the bytes that it spares.
    """
    return hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(name, value)], huffman=False)
