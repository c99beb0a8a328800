"""What both sides of the gateway expect of a trio stream, and how much they read from one."""

from collections.abc import Callable
from typing import Final

import trio

GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError)
"""What a stream raises once one of its ends is gone."""

MAX_HEAD: Final = 512 * 1024
"""Bytes of a head in HTTP/1.1; a larger one is an error."""

PIECE: Final = 64 * 1024
"""Bytes that are read at once, at most."""


async def quiet(last: Callable[[], float], seconds: float) -> None:
    """Wait for `seconds`, and on until the moment that `last` returns is as long ago."""
    due = trio.current_time() + seconds
    while due > trio.current_time():
        await trio.sleep_until(due)
        due = last() + seconds
