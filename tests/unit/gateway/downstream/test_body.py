"""A request's body: how much of what nobody wanted is read."""

import pytest

from tests.support.inprocess.gateway import body_of


@pytest.mark.parametrize(("limit", "is_whole"), [(4, True), (3, True), (2, False), (0, False)])
async def test_what_nobody_wanted_is_read_up_to_a_limit(limit: int, is_whole: bool) -> None:
    assert await body_of(b"abc").finish(limit) is is_whole
