"""A request's body: how much of it is read that nobody wanted, and how much is kept."""

import pytest

from relay.gateway.bounds.room import Room
from relay.gateway.downstream.body import Body
from relay.gateway.downstream.guests import Guest
from relay.gateway.http import Flush
from tests.support.inprocess.gateway import body_of


@pytest.mark.parametrize(("limit", "is_whole"), [(4, True), (3, True), (2, False), (0, False)])
async def test_what_nobody_wanted_is_read_up_to_a_limit(limit: int, is_whole: bool) -> None:
    assert await body_of(b"abc").finish(limit) is is_whole


async def flush() -> None:
    """Flush nothing."""


def body(room: Room, *pieces: bytes) -> Body:
    left = iter((*pieces, None))

    async def receive(_flush: Flush) -> bytes | None:
        return next(left)

    return Body(receive, Guest(), room)


async def test_all_bodies_are_kept_as_far_as_there_is_room_for_them_together() -> None:
    room = Room(10)
    first, second = body(room, b"123", b"456"), body(room, b"12345", b"6", b"7")
    for number in range(2):
        await first.piece(number, flush)
    for number in range(3):
        assert await second.piece(number, flush) == (b"12345", b"6", b"7")[number]
    assert (first.is_kept, second.is_kept, room.left) == (True, False, 4)
    assert await first.piece(0, flush) == b"123", "it can be asked for again"
    assert await second.piece(3, flush) is None
    first.release()
    assert room.left == 10
