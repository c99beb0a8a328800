"""How a connection ends: FIN, TLS close or RST, with all that was written before delivered.

Afterwards it is read to its end: unread bytes would turn the FIN into an RST.
"""

import contextlib

import trio

from tests.support.internet.servers.broken import reset, sent

from .faults import Fault


async def end(stream: trio.abc.Stream, fault: Fault) -> None:
    """End a connection as a fault says."""
    match fault:
        case Fault.RST:
            await sent(stream)
            reset(stream)
            return
        case Fault.TLS_CLOSE:
            await _close_notify(stream)
    await _fin(stream)


async def drain(stream: trio.abc.Stream) -> None:
    """Read until the client ends, of which nothing is wanted."""
    with contextlib.suppress(trio.BrokenResourceError):
        while await stream.receive_some():
            pass


async def _close_notify(stream: trio.abc.Stream) -> None:
    """Send TLS's close_notify alone; SSLStream does so only where it closes all the rest."""
    assert isinstance(stream, trio.SSLStream), "TLS close is for TLS"
    await stream._retry(stream._ssl_object.unwrap, ignore_want_read=True)


async def _fin(stream: trio.abc.Stream) -> None:
    below = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
    assert isinstance(below, trio.abc.HalfCloseableStream)
    with contextlib.suppress(trio.BrokenResourceError):
        await below.send_eof()
    await drain(below)
