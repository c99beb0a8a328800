"""TLS with a proxy, `https://`: its handshake, CONNECT within it, and what is passed on through it.

What goes through is read and written here, and not spliced. TLS cannot be closed in one direction
alone as TCP can: a program that has ended its own gets what still comes, until that pauses.
"""

import errno
import math
import socket
import ssl
from typing import Final, TypeAlias

import trio

from relay.outbound.patience import DialError
from relay.outbound.proxied.answers import Answer
from relay.outbound.proxied.dialogue import Dialogue
from relay.proxies.url import Proxy
from relay.record.kinds import Kind
from relay.tls import was_cut

PAUSE: Final = 10.0
"""Seconds for more of an answer, once the program has ended its direction."""

_MOST: Final = 4096

Stream: TypeAlias = "trio.SSLStream[trio.SocketStream]"


async def handshake(sock: socket.socket, proxy: Proxy, context: ssl.SSLContext | None) -> Stream:
    """Agree on TLS; raises DialError."""
    assert context is not None
    tcp = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
    stream = trio.SSLStream(tcp, context, server_hostname=proxy.host, https_compatible=True)
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError as error:
        raise _failure(proxy, error.__cause__) from error
    return stream


def _failure(proxy: Proxy, error: BaseException | None) -> DialError:
    if isinstance(error, ssl.SSLCertVerificationError):
        cause = f"the certificate of {proxy} is not trusted: {error.verify_message}"
        return DialError(cause, Kind.UNTRUSTED, is_final=True)
    if isinstance(error, ssl.SSLError) and not was_cut(error):
        return DialError(f"no TLS with {proxy}: {error.reason}", Kind.TLS, is_final=True)
    cause = f"{proxy} closed in the TLS handshake"
    return DialError(cause, Kind.CLOSED, errno.ECONNRESET)


async def ask(stream: Stream, dialogue: Dialogue) -> tuple[Answer, bytes]:
    """Ask, and return the answer and what came behind it; raises what trio's streams do."""
    await stream.send_all(dialogue.request)
    while True:
        data = bytes(await stream.receive_some(_MOST))
        count, answer = dialogue.receive(data)
        if answer is not None:
            return answer, data[count:]


async def join(stream: Stream, first: bytes, program: trio.SocketStream) -> None:
    """Copy both ways, `first` to the program before all else, until upstream's end or its pause.

    The time that a program takes to read is no pause of upstream's.
    """
    async with stream, trio.open_nursery() as nursery:
        pause, data = math.inf, first
        receiving = trio.CancelScope()

        async def copy_to_proxy() -> None:
            nonlocal pause
            while said := await program.receive_some():
                await stream.send_all(said)
            pause = PAUSE
            receiving.deadline = trio.current_time() + PAUSE

        nursery.start_soon(copy_to_proxy)
        while True:
            if data:
                await program.send_all(data)
            receiving = trio.CancelScope(deadline=trio.current_time() + pause)
            with receiving:
                data = bytes(await stream.receive_some())
            if receiving.cancelled_caught or not data:
                break
        await program.send_eof()
        nursery.cancel_scope.cancel()
