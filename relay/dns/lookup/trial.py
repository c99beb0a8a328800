"""Whether each resolver answers, for doctor: all are asked at once what any of them can answer.

The question is the one that a session asks before any name has resolved, and names nobody.
"""

from collections.abc import Sequence

import trio

from relay.addresses import Destination
from relay.dns.lookup.errors import SERVFAIL, FailureAnswerError, UpstreamError
from relay.dns.lookup.probe import root_query
from relay.dns.lookup.question import How, ask
from relay.record.kinds import Kind

INTERVAL = 1.0
"""Seconds before a datagram is sent again."""


async def try_all(
    servers: Sequence[Destination], seconds: float
) -> dict[Destination, UpstreamError | None]:
    """Return for each server how it has failed within so many seconds, None if it has answered."""
    failures: dict[Destination, UpstreamError | None] = {}

    async def try_one(server: Destination) -> None:
        failures[server] = await _failure(server, seconds)

    async with trio.open_nursery() as nursery:
        for server in servers:
            nursery.start_soon(try_one, server)
    return {server: failures[server] for server in servers}


async def _failure(server: Destination, seconds: float) -> UpstreamError | None:
    with trio.move_on_after(seconds):
        try:
            await ask(server, root_query(), How(INTERVAL))
        except FailureAnswerError as error:
            return error if error.rcode == SERVFAIL else None
        except UpstreamError as error:
            return error
        return None
    return UpstreamError(f"no answer in {seconds:g} s", Kind.TIMEOUT)
