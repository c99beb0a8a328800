"""A request's body: read from the program once, kept for another try as far as memory allows."""

import math
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import trio

from relay.gateway.bounds.room import Room, Share
from relay.gateway.downstream.guests import Guest
from relay.gateway.http import Fields, Flush

KEPT: Final = 32 * 1024 * 1024
"""Bytes; a larger body is passed on once."""

BODIES: Final = 2 * KEPT
"""Bytes of all bodies together; what there is no room for is passed on once, too."""


Receive: TypeAlias = Callable[[Flush], Awaitable[bytes | None]]
"""Returns the next piece, None at the end; it flushes before it waits."""


class Body:
    """The body of one request; it is http.Pieces."""

    def __init__(self, receive: Receive, guest: Guest, room: Room) -> None:
        """Read by `receive`, which returns None at the end; keep as much as `room` has."""
        self.trailers: Fields = []
        self.is_kept = True
        self.ended = trio.Event()
        """Set when all of it was read from the program."""
        self._receive = receive
        self._guest = guest
        self._kept = 0
        self._share = Share(room)
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
        self._kept += len(data)
        if self.is_kept and self._kept <= KEPT and self._share.hold(self._kept):
            self._pieces.append(data)
            return data
        self.is_kept = False
        self._forgotten += len(self._pieces) + 1
        self.release()
        return data

    def release(self) -> None:
        """Keep nothing of it any longer."""
        self._pieces.clear()
        self._share.hold(0)

    async def _next(self, flush: Flush) -> bytes | None:
        data = None
        if not self.ended.is_set():
            self._guest.heard = trio.current_time()
            data = await self._receive(flush)
            self._guest.heard = math.inf
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


NewBody: TypeAlias = Callable[[Receive], Body]
