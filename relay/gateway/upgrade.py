"""An upgrade, such as to WebSocket, is passed through untouched, RFC 9110 section 7.8.

It gets an upstream connection of its own. Nothing of it is held back or asked again.
"""

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final

import trio

from relay.gateway import http as fields
from relay.gateway.downstream.connection import Downstream
from relay.gateway.http import LostError, Request, UntrustedError
from relay.gateway.streams import GONE, PIECE
from relay.gateway.upstream.http1 import Http1
from relay.gateway.upstream.pool import Pool
from relay.outbound.patience import DialError

_SWITCHING: Final = 101


async def pass_through(downstream: Downstream, request: Request, pool: Pool) -> None:
    """Ask upstream; if it agrees, copy until one side has ended, else pass its answer on."""
    async with AsyncExitStack() as stack:
        upstream: Http1 | None = None
        async with downstream.exchange():
            upstream = await _agreed(downstream, request, pool, stack)
        if upstream is not None:
            await _both_ways(downstream, upstream)


async def _agreed(
    downstream: Downstream, request: Request, pool: Pool, stack: AsyncExitStack
) -> Http1 | None:
    """Ask, and pass the answer on; return None unless that is 101."""
    await downstream.body.finish(0)  # there is none; so the request is complete
    try:
        upstream = await stack.enter_async_context(pool.alone())
        kept = fields.without(request.fields, b"host")
        await upstream.send(replace(request, fields=kept), downstream.body)
        response = await upstream.response()
        is_agreed = response.status == _SWITCHING
        if not is_agreed:
            response = replace(response, fields=fields.end_to_end(response.fields))
        downstream.head(response)
        await downstream.flush()
        if is_agreed:
            return upstream
        await downstream.pass_on(upstream)
    except (LostError, DialError) as error:
        if downstream.has_head:
            downstream.abort()
        else:
            message = f"no answer from {pool.origin.host}: {error.cause}"
            may_pass = isinstance(error, DialError) or not error.is_lasting
            await _fail(downstream, pool, message, retry=may_pass)
    except UntrustedError as error:
        await _fail(downstream, pool, f"{pool.origin.host} is not trusted: {error}", retry=False)
    return None


async def _fail(downstream: Downstream, pool: Pool, message: str, *, retry: bool = True) -> None:
    await downstream.fail(*pool.origin.dialect.error_fields(message, retry=retry))


async def _both_ways(downstream: Downstream, upstream: Http1) -> None:
    """Copy; the end of one direction ends both: these protocols have a closing of their own."""
    theirs, first = downstream.switch()
    ours, early = upstream.switch()
    async with trio.open_nursery() as nursery:

        async def copy(source: trio.abc.Stream, sink: trio.abc.Stream, begun: bytes) -> None:
            try:
                if begun:
                    await sink.send_all(begun)
                while data := await source.receive_some(PIECE):
                    await sink.send_all(data)
            except GONE:
                downstream.abort()  # a loss is passed on as one
            nursery.cancel_scope.cancel()

        nursery.start_soon(copy, theirs, ours, first)
        nursery.start_soon(copy, ours, theirs, early)
