"""A request's body: read from the program once, kept for another try as far as memory allows."""

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from relay.gateway.http import Fields, Flush

KEPT: Final = 32 * 1024 * 1024
"""Bytes; a larger body is passed on once."""


class Body:
    """The body of one request; it is http.Pieces."""

    def __init__(self, receive: Callable[[Flush], Awaitable[bytes | None]]) -> None:
        """Read by `receive`, which returns None at the end."""
        self.trailers: Fields = []
        self.is_kept = True
        self.ended = trio.Event()
        """Set when all of it was read from the program."""
        self._receive = receive
        self._left = KEPT
        self._pieces: list[bytes] = []
        self._forgotten = 0

    async def piece(self, number: int, flush: Flush) -> bytes | None:
        """Return a piece; None after the last. There may be one reader at a time."""
        index = number - self._forgotten
        assert index >= 0, "a body that is not kept is read once"
        if index < len(self._pieces):
            return self._pieces[index]
        data = await self._next(flush)
        if data is None:
            return None
        self._left -= len(data)
        if self._left < 0:
            self.is_kept = False
            self._forgotten += len(self._pieces) + 1
            self._pieces.clear()
        else:
            self._pieces.append(data)
        return data

    async def _next(self, flush: Flush) -> bytes | None:
        data = None if self.ended.is_set() else await self._receive(flush)
        if data is None:
            self.ended.set()
        return data

    async def finish(self, limit: int) -> bool:
        """Read and drop what nobody wanted, up to `limit` bytes; return False if there is more."""
        while limit >= 0:
            data = await self._next(_nothing)
            if data is None:
                return True
            limit -= len(data)
        return False


async def _nothing() -> None:
    """Flush nothing."""
