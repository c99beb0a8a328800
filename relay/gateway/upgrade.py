"""An upgrade, such as to WebSocket, is passed through untouched, RFC 9110 section 7.8.

It gets an upstream connection of its own. Nothing of it is held back or asked again.
"""

from contextlib import AsyncExitStack
from typing import Final

import trio

from relay.gateway import http as fields
from relay.gateway.downstream.connection import Program
from relay.gateway.http import LostError, Request, Response, UntrustedError
from relay.gateway.upstream.http1 import PIECE, Http1
from relay.gateway.upstream.pool import Pool
from relay.gateway.upstream.watched_stream import GONE
from relay.outbound.patience import DialError

_SWITCHING: Final = 101


async def pass_through(program: Program, request: Request, pool: Pool) -> None:
    """Ask upstream; if it agrees, copy until one side has ended, else give its answer."""
    async with AsyncExitStack() as stack:
        upstream: Http1 | None = None
        async with program.exchange(program.body()):
            upstream = await _agreed(program, request, pool, stack)
        if upstream is not None:
            await _both_ways(program, upstream)


async def _agreed(
    program: Program, request: Request, pool: Pool, stack: AsyncExitStack
) -> Http1 | None:
    """Ask, and give the answer; None if that is not 101, or if there is none."""
    body = program.body()
    await body.finish(0)  # there is none; so the request is complete
    try:
        upstream = await stack.enter_async_context(pool.alone())
        await upstream.send(_with_host_left_out(request), body)
        response = await upstream.response()
        if response.status == _SWITCHING:
            program.head(response)
            await program.flush()
            return upstream
        await _plain_answer(program, upstream, response)
    except (LostError, DialError) as error:
        if program.has_said_head:
            program.abort()
        else:
            await program.fail(f"no answer from {pool.upstream.host}: {error.cause}", retry=True)
    except UntrustedError as error:
        await program.fail(f"{pool.upstream.host} is not trusted: {error}", retry=False)
    return None


def _with_host_left_out(request: Request) -> Request:
    kept = fields.without(request.fields, b"host")
    return Request(request.method, request.target, kept)


async def _plain_answer(program: Program, upstream: Http1, response: Response) -> None:
    plain = fields.end_to_end(response.fields)
    program.head(Response(response.status, plain, response.reason))
    await program.flush()
    while data := await upstream.receive():
        await program.data(data)
    await program.end(upstream.trailers)


async def _both_ways(program: Program, upstream: Http1) -> None:
    """Copy; the end of one direction ends both: these protocols say goodbye themselves."""
    theirs, first = program.switch()
    ours, early = upstream.switch()
    async with trio.open_nursery() as nursery:

        async def copy(source: trio.abc.Stream, sink: trio.abc.Stream, begun: bytes) -> None:
            try:
                if begun:
                    await sink.send_all(begun)
                while data := await source.receive_some(PIECE):
                    await sink.send_all(data)
            except GONE:
                program.abort()  # a loss is passed on as one
            nursery.cancel_scope.cancel()

        nursery.start_soon(copy, theirs, ours, first)
        nursery.start_soon(copy, ours, theirs, early)
