"""An upgrade, such as to WebSocket, is passed through untouched, RFC 9110 section 7.8.

It gets an upstream connection of its own. Nothing of it is held back or asked again.
"""

import trio

from relay.gateway import fields
from relay.gateway.program import Program
from relay.gateway.upstream.http1 import PIECE, Http1
from relay.gateway.upstream.messages import LostError, Request, Response, UntrustedError
from relay.gateway.upstream.pool import Pool
from relay.tcp.dialer import DialError

_SWITCHING = 101
_GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


async def pass_through(program: Program, request: Request, pool: Pool) -> None:
    """Ask upstream; if it agrees, copy until both sides have ended, else give its answer."""
    body = program.body()
    await body.piece(0)  # there is none; so the request is complete
    try:
        async with pool.alone() as upstream:
            await upstream.send(_with_host_left_out(request), body)
            response = await upstream.response()
            if response.status != _SWITCHING:
                await _plain_answer(program, upstream, response)
                return
            await program.head(response)
            theirs, first = program.switch()
            ours, early = upstream.switch()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_copy, theirs, ours, first, nursery.cancel_scope)
                nursery.start_soon(_copy, ours, theirs, early, nursery.cancel_scope)
    except (LostError, DialError) as error:
        if program.has_said_head:
            program.abort()
        else:
            await program.fail(f"no answer from {pool.upstream.host}: {error.cause}", retry=True)
    except UntrustedError as error:
        await program.fail(f"{pool.upstream.host} is not trusted: {error}", retry=False)


def _with_host_left_out(request: Request) -> Request:
    kept = fields.without(request.fields, b"host")
    return Request(request.method, request.target, kept)


async def _plain_answer(program: Program, upstream: Http1, response: Response) -> None:
    plain = fields.end_to_end(response.fields)
    await program.head(Response(response.status, plain, response.reason))
    while data := await upstream.receive():
        await program.data(data)
    await program.end(upstream.trailers)


async def _copy(
    source: trio.abc.Stream, sink: trio.abc.Stream, first: bytes, scope: trio.CancelScope
) -> None:
    """Copy one direction; its end, or a loss, ends both: these protocols say goodbye themselves."""
    try:
        if first:
            await sink.send_all(first)
        while data := await source.receive_some(PIECE):
            await sink.send_all(data)
    except _GONE:
        pass  # the other side sees the end of it
    scope.cancel()
