"""HPACK, RFC 7541, without its dynamic table: a field is always said in the same bytes.

They are kept, so that a field that comes with each request is encoded once.
"""

from functools import lru_cache
from typing import Any, Final

import hpack

_KEPT: Final = 64
"""Fields, secrets among them; each stays until as many others have come."""


class Encoder(hpack.Encoder):
    """Encodes requests."""

    def encode(self, headers: Any, huffman: bool = True) -> bytes:  # noqa: FBT001, FBT002 - hpack's
        """Give a block of fields: pairs of bytes."""
        # Section 4.2: the least size that the peer's table had meanwhile, and then its last.
        if said := self.table_size_changes:
            self.table_size_changes = sorted({min(said), said[-1]})
            self.header_table.resized = True  # hpack forgets it if the last one came twice
        sizes = super().encode([], huffman)
        return sizes + b"".join(_encoded(name, value) for name, value in headers)


@lru_cache(_KEPT)
def _encoded(name: bytes, value: bytes) -> bytes:
    """Say a field as one that nobody on the way may index either, section 7.1.3: some are secret.

    Without Huffman's code, for it takes far longer than the bytes that it spares.
    """
    return hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(name, value)], huffman=False)
