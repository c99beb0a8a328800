"""HPACK, RFC 7541, without its dynamic table: a field is always encoded as the same bytes; pure.

They are kept, so that a field that comes with each request is encoded once.
"""

from functools import lru_cache
from typing import Any, Final

import hpack

_KEPT: Final = 64
"""Fields, secrets among them; each stays until as many others have come."""


class Encoder(hpack.Encoder):
    """Encodes the fields of requests; takes the place of h2's own encoder."""

    def encode(self, headers: Any, huffman: bool = True) -> bytes:  # noqa: FBT001, FBT002 - hpack's
        """Return a block of fields, which are pairs of bytes.

        It begins with the least size that the peer has asked of the table since the last block,
        and then the last size, section 4.2. hpack alone returns all of them, and none if the last
        one came twice: it looks at `resized`.
        """
        if asked := self.table_size_changes:
            self.table_size_changes = sorted({min(asked), asked[-1]})
            self.header_table.resized = True
        sizes = super().encode([], huffman)
        return sizes + b"".join(_encoded(name, value) for name, value in headers)


@lru_cache(_KEPT)
def _encoded(name: bytes, value: bytes) -> bytes:
    """Return a field as one that nobody on the way may index, section 7.1.3: some are secret.

    It is encoded without Huffman's code, which takes far longer than the bytes that it spares.
    """
    return hpack.Encoder().encode([hpack.NeverIndexedHeaderTuple(name, value)], huffman=False)
