"""What both sides of the gateway expect of a trio stream, and how much they read from one."""

from typing import Final

import trio

GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError)
"""What a stream raises once one of its ends is gone."""

MAX_HEAD: Final = 128 * 1024
"""Bytes of a head in HTTP/1.1; a larger one is an error."""

PIECE: Final = 64 * 1024
"""Bytes that are read at once, at most."""
