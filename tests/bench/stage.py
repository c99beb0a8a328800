"""Runs a measurement in a thread, beside the world's servers."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from .clients import LoadError
from .world import World

Result = TypeVar("Result")
Server = Callable[[World, trio.Nursery], Awaitable[None]]
"""Starts a server in the nursery, and returns once it listens."""


async def beside_servers(measure: Callable[[World], Result], *servers: Server) -> Result:
    """Run `measure` while names, and what else is said, are served; raises LoadError."""
    failure = None
    with World() as world:
        async with trio.open_nursery() as nursery:
            await nursery.start(world.serve_names)
            for server in servers:
                await server(world, nursery)
            try:
                return await trio.to_thread.run_sync(measure, world, abandon_on_cancel=True)
            except LoadError as error:  # the nursery would wrap it
                failure = error
            finally:
                nursery.cancel_scope.cancel()
    assert failure is not None
    raise failure
