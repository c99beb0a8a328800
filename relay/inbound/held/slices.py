"""Many things, one slice after the other: after each slice everybody else has a turn."""

from collections.abc import AsyncIterator, Sequence
from typing import Final, TypeVar

import trio

SLICE: Final = 128
"""Programs' sockets that are looked at at once; a question to their kernel takes 70 us."""

_REST: Final = 0.05
"""Seconds between two slices."""

_T = TypeVar("_T")


async def in_slices(all_of: Sequence[_T]) -> AsyncIterator[_T]:
    """Yield each; what is yielded after a pause may have ended in it."""
    for number, each in enumerate(all_of, 1):
        yield each
        if number % SLICE == 0:
            await trio.sleep(_REST)
