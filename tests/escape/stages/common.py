"""What several ways need: stages together, what a machine lacks."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.escape.attempts import Attempt
from tests.escape.row import Stage


class LackingError(Exception):
    """This machine lacks what a way needs."""


def together(*stages: Stage) -> Stage:
    """Return all of them as one."""

    @asynccontextmanager
    async def stage(attempt: Attempt) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for each in stages:
                await stack.enter_async_context(each(attempt))
            yield

    return stage
